from reports.app import app
from reports.pool import pool


def test_refused_orders_do_not_use_up_the_pool():
    client = app.test_client()
    before = pool.free()
    for _ in range(before):
        client.get("/reports/monthly?region=north&order=colour")
    assert pool.free() > 0
