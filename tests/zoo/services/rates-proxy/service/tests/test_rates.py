import io
import urllib.request

import pytest

from rates.app import app


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: io.BytesIO(b'{"rate": 1.5}'))
    return app.test_client()


def test_converts(client):
    assert client.get("/convert/EUR-USD?amount=10").get_json()["result"] == 15.0


def test_unknown_pairs_and_missing_amounts(client):
    assert client.get("/convert/EUR-XXX?amount=1").status_code == 404
    assert client.get("/convert/EUR-USD").status_code == 400


def test_an_answer_without_a_rate_is_the_upstreams_fault(client, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: io.BytesIO(b"{}"))
    assert client.get("/convert/EUR-USD?amount=1").status_code == 502
