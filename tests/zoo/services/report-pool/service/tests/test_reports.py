import pytest

from reports.app import app
from reports.pool import Pool, pool


@pytest.fixture
def client():
    return app.test_client()


def test_months_in_order(client):
    rows = client.get("/reports/monthly?region=north").get_json()["rows"]
    assert [row["month"] for row in rows] == list(range(1, 13))
    rows = client.get("/reports/monthly?region=north&order=total").get_json()["rows"]
    assert rows[0]["month"] == 12


def test_unknown_region_is_refused(client):
    assert client.get("/reports/monthly?region=moon").status_code == 400


def test_regions(client):
    assert client.get("/reports/regions?least=0").get_json() == {"north": 12, "south": 12, "west": 12}


def test_a_report_gives_its_connection_back(client):
    before = pool.free()
    client.get("/reports/monthly?region=west")
    assert pool.free() == before


def test_a_lease_comes_back_after_an_error():
    small = Pool(size=1)
    with pytest.raises(RuntimeError), small.lease():
        raise RuntimeError
    assert small.free() == 1
