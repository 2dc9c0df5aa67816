import urllib.error
import urllib.request

from rates.app import app


def test_a_failing_upstream_does_not_crash_us(monkeypatch):
    def fail(*args, **kwargs):
        raise urllib.error.HTTPError("http://u/EUR-USD", 503, "busy", {}, None)

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    assert app.test_client().get("/convert/EUR-USD?amount=1").status_code != 500
