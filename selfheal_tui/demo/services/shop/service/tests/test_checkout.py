import pytest

from shop.basket import Line, goods_cents
from shop.catalog import catalog
from shop.checkout import shipping_cents
from shop.customers import Customer
from shop.errors import InvalidOrder
from shop.rates import table_rate

GERMANY = {"street": "Hafenweg 1", "city": "Hamburg", "country": "DE"}


def order(**changes):
    return {"customer": "c001", "items": [{"sku": "GR101", "quantity": 2}], **changes}


def test_an_order_is_stored_and_answered(client):
    reply = client.post("/checkout", json=order())
    assert reply.status_code == 201
    receipt = reply.get_json()
    assert receipt["total_cents"] == receipt["goods_cents"] + receipt["shipping_cents"]


def test_orders_are_numbered(client):
    numbers = [client.post("/checkout", json=order()).get_json()["order"] for _ in range(3)]
    assert numbers == [1, 2, 3]


def test_a_guest_with_an_address_can_order(client):
    guest = {"name": "Kim", "email": "kim@example.org", "address": GERMANY}
    reply = client.post("/checkout", json={"guest": guest, "items": [{"sku": "CO301"}]})
    assert reply.status_code == 201
    assert client.application.config["ORDERS"].count("kim@example.org") == 1


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"customer": "nobody"}, 404, "not_found"),
        ({"items": []}, 422, "invalid_order"),
        ({"items": [{"sku": "GR101", "quantity": 0}]}, 422, "invalid_order"),
        ({"items": [{"sku": "GR101", "quantity": 10**6}]}, 409, "out_of_stock"),
        ({"terms_accepted": False}, 422, "invalid_order"),
    ],
)
def test_what_cannot_be_ordered_is_refused(client, changes, status, code):
    reply = client.post("/checkout", json=order(**changes))
    assert (reply.status_code, reply.get_json()["error"]["code"]) == (status, code)


def test_a_guest_without_email_is_refused(client):
    reply = client.post("/checkout", json={"guest": {"name": "Kim"}, "items": [{"sku": "GR101"}]})
    assert reply.status_code == 422


def test_shipping_is_free_above_a_value():
    customer = Customer("c9", "Kim", "kim@example.org", GERMANY)
    lines = [Line("GR101", 1, 5999, 900)]
    assert shipping_cents(customer, lines, 5999) == 390
    assert shipping_cents(customer, lines, 6000) == 0


def test_rates_grow_with_weight_and_distance():
    assert table_rate("DE", 1000) < table_rate("DE", 1001) < table_rate("SE", 1001)


def test_we_do_not_ship_everywhere():
    with pytest.raises(InvalidOrder):
        table_rate("NZ", 100)
    with pytest.raises(InvalidOrder):
        table_rate("DE", 20001)


def test_discounts_round_to_a_cent():
    lines = [Line("GR101", 1, 1990, 100)]
    assert goods_cents(lines, "standard") == 1990
    assert goods_cents(lines, "club") == 1890
    assert goods_cents(lines, "unheard of") == 1990


def test_a_basket_can_be_priced_before_the_order(client):
    reply = client.post("/basket/price", json={"items": [{"sku": "GR101", "quantity": 1}]})
    assert reply.get_json()["goods_cents"] == catalog.get("GR101").price_cents
