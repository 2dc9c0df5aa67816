"""Checkout: from a basket to a stored order."""

from flask import Blueprint, current_app, request

from shop.basket import FREE_SHIPPING_FROM_CENTS, goods_cents, lines_of
from shop.catalog import catalog
from shop.customers import customer_of
from shop.errors import InvalidOrder, OutOfStock
from shop.rates import table_rate

blueprint = Blueprint("checkout", __name__)


def check_stock(lines):
    for line in lines:
        product = catalog.get(line.sku)
        if product.stock < line.quantity:
            raise OutOfStock(f"only {product.stock} of {product.name} left", sku=line.sku)


def shipping_cents(customer, lines, goods):
    """Shipping for an order; free above a value, to the countries we ship to."""
    weight_g = sum(line.weight_g for line in lines)
    country = customer.address["country"]
    cents = table_rate(country, weight_g)
    return 0 if goods >= FREE_SHIPPING_FROM_CENTS else cents


def place_order(payload, orders):
    """Stores the order and returns its receipt. Raises ShopError when it cannot be placed."""
    if not payload.get("terms_accepted", True):
        raise InvalidOrder("the terms must be accepted")
    customer = customer_of(payload)
    lines = lines_of(payload)
    check_stock(lines)
    goods = goods_cents(lines, customer.tier)
    shipping = shipping_cents(customer, lines, goods)
    number = orders.add(
        customer.email, goods + shipping, [[line.sku, line.quantity] for line in lines]
    )
    return {
        "order": number,
        "goods_cents": goods,
        "shipping_cents": shipping,
        "total_cents": goods + shipping,
    }


@blueprint.post("/checkout")
def checkout():
    return place_order(request.get_json(), current_app.config["ORDERS"]), 201
