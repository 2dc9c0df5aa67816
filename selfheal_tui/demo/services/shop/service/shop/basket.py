"""Baskets: what is in them and what they cost."""

from dataclasses import dataclass

from flask import Blueprint, request

from shop.catalog import catalog
from shop.customers import customer_of
from shop.errors import InvalidOrder

blueprint = Blueprint("basket", __name__)

DISCOUNT_PERCENT = {"standard": 0, "club": 5, "trade": 12}
FREE_SHIPPING_FROM_CENTS = 6000


@dataclass(frozen=True)
class Line:
    sku: str
    quantity: int
    cents: int
    weight_g: int


def lines_of(payload):
    """The basket's lines. Raises InvalidOrder for an empty or impossible basket."""
    lines = []
    for item in payload.get("items") or []:
        product = catalog.get(item["sku"])
        quantity = int(item.get("quantity", 1))
        if quantity < 1:
            raise InvalidOrder("a quantity must be at least 1", sku=product.sku)
        lines.append(
            Line(product.sku, quantity, product.price_cents * quantity, product.weight_g * quantity)
        )
    if not lines:
        raise InvalidOrder("the basket is empty")
    return lines


def goods_cents(lines, tier):
    """Price of the goods after the tier's discount, rounded half up to a cent."""
    total = sum(line.cents for line in lines)
    percent = DISCOUNT_PERCENT.get(tier, 0)
    return total - (total * percent + 50) // 100


@blueprint.post("/basket/price")
def price_basket():
    payload = request.get_json()
    lines = lines_of(payload)
    tier = customer_of(payload).tier if "customer" in payload else "standard"
    goods = goods_cents(lines, tier)
    return {"goods_cents": goods, "free_shipping": goods >= FREE_SHIPPING_FROM_CENTS}
