import pytest

from invoices.app import app


@pytest.fixture
def client():
    return app.test_client()


def test_csv(client):
    assert client.get("/invoices/2.csv").text == "name,cents,currency\nWorkshop,120000,CHF\n"


def test_json(client):
    assert client.get("/invoices/1.json").get_json()["total"] == 46250


def test_what_is_not_there(client):
    assert client.get("/invoices/1.pdf").status_code == 404
    assert client.get("/invoices/7.csv").status_code == 404
