import http.client
import io
import urllib.error
import urllib.request

import pytest

from rates.app import app

FAULTS = [
    urllib.error.HTTPError("http://u/EUR-USD", 503, "busy", {}, None),
    urllib.error.URLError(ConnectionRefusedError(111, "refused")),
]


@pytest.mark.parametrize("fault", FAULTS, ids=["503", "refused"])
def test_a_dead_upstream_is_told_as_such(monkeypatch, fault):
    def fail(*args, **kwargs):
        raise fault

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    reply = app.test_client().get("/convert/EUR-GBP?amount=7")
    assert reply.status_code in (502, 503, 504), "never an invented rate"
    assert isinstance(reply.get_json()["error"], str)


def test_a_working_upstream_is_asked_as_ever(monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: io.BytesIO(b'{"rate": 2}'))
    assert app.test_client().get("/convert/EUR-USD?amount=4").get_json()["result"] == 8.0


def test_our_own_slips_are_not_blamed_on_the_upstream(monkeypatch):
    def slip(*args, **kwargs):
        raise AttributeError("a bug of ours")

    monkeypatch.setattr(urllib.request, "urlopen", slip)
    app.testing = True
    with pytest.raises(AttributeError):
        app.test_client().get("/convert/USD-JPY?amount=7")
