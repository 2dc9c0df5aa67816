from shop.catalog import catalog
from shop.suppliers import import_feed, parse_quantity


def test_a_feed_sets_the_stock(client):
    records = [{"sku": "GR102", "on_hand": "4200"}, {"sku": "GR103", "on_hand": " 400C"}]
    reply = client.post("/suppliers/nippon/stock", json={"records": records})
    assert reply.get_json() == {"updated": 2, "rejected": []}
    assert catalog.get("GR102").stock == 4200
    assert catalog.get("GR103").stock == 4800


def test_unknown_skus_are_reported_and_the_rest_is_taken():
    feed = [{"sku": "NEW1", "on_hand": "5"}, {"sku": "GR104", "on_hand": "7000"}]
    assert import_feed("nippon", feed) == (["GR104"], ["NEW1"])


def test_cases_hold_twelve():
    assert parse_quantity({"on_hand": "3c"}) == 36


def test_a_feed_must_be_one(client):
    assert client.post("/suppliers/nippon/stock", json=[1]).status_code == 400
