import io
import urllib.request

from shop import delivery


def test_the_cheaper_rate_is_quoted(client, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: io.BytesIO(b'{"cents": 333}'))
    reply = client.get("/delivery/quote?country=de&weight=800")
    assert reply.get_json() == {"cents": 333, "source": "carrier"}


def test_the_table_stands_in_for_the_carrier(client, monkeypatch):
    def refuse(*args, **kwargs):
        raise ConnectionRefusedError("down")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert delivery.quote("DE", 800) == (390, "table")


def test_a_weight_must_be_a_number(client):
    assert client.get("/delivery/quote?country=de&weight=heavy").status_code == 400
    assert client.get("/delivery/quote?country=de").status_code == 400
