import io
import urllib.error
import urllib.request

import pytest

from rates.app import app

@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_upstream_is_told_as_such(monkeypatch, status):
    def fail(*args, **kwargs):
        raise urllib.error.HTTPError("http://u/EUR-GBP", status, "busy", {}, None)

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
