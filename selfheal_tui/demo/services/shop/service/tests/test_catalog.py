from shop.catalog import catalog, related_strip


def test_search_wants_every_word(client):
    names = [p["name"] for p in client.get("/products?q=green tea").get_json()["products"]]
    assert len(names) == 6
    assert client.get("/products?q=green coffee").get_json() == {"products": []}


def test_unknown_product_is_a_404_in_our_shape(client):
    reply = client.get("/products/NOPE")
    assert reply.status_code == 404
    assert reply.get_json()["error"]["code"] == "not_found"


def test_unknown_page_is_a_404_in_our_shape(client):
    assert client.get("/nowhere").get_json()["error"]["code"] == "not_found"


def test_the_strip_shows_the_rest_of_the_group():
    strip = related_strip("GR101", "v1")
    assert strip.count("<article") == 5
    assert "GR101" not in strip


def test_the_strip_is_the_same_when_asked_again():
    assert related_strip("CO301", "v1") is related_strip("CO301", "v1")


def test_the_strip_belongs_to_the_visitor(client):
    assert "v=v7" in client.get("/products/PO402/related?visitor=v7").text
    assert "v=v8" in client.get("/products/PO402/related?visitor=v8").text


def test_products_weigh_something():
    assert all(product.weight_g > 0 for product in catalog.search(""))
