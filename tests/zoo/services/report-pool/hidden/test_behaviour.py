import pytest

from reports import queries
from reports.app import app
from reports.pool import Pool


@pytest.fixture
def fresh(monkeypatch):
    fresh = Pool(size=3, patience_s=0.2)
    monkeypatch.setattr(queries, "pool", fresh)
    return fresh


def test_every_way_out_gives_the_connection_back(fresh):
    client = app.test_client()
    for query, status in [
        ("region=north&order=colour", 400),
        ("region=moon", 400),
        ("region=north&order=total", 200),
    ]:
        for _ in range(4):
            reply = client.get(f"/reports/monthly?{query}")
            assert reply.status_code == status
            assert fresh.free() == 3, query


def test_no_connection_is_in_the_pool_twice(fresh):
    client = app.test_client()
    client.get("/reports/monthly?region=north&order=colour")
    client.get("/reports/monthly?region=moon")
    client.get("/reports/monthly?region=north")
    assert len({id(fresh.borrow()) for _ in range(3)}) == 3
    assert fresh.free() == 0
