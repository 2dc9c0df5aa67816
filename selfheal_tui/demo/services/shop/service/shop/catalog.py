"""Products: search, details, and the strip of related products on every product page."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from flask import Blueprint, request

from shop.errors import NotFound

blueprint = Blueprint("catalog", __name__)

_FILE = Path(__file__).parent / "data" / "products.json"


@dataclass(frozen=True)
class Product:
    sku: str
    name: str
    group: str
    price_cents: int
    weight_g: int
    stock: int
    text: str = ""


class Catalog:
    def __init__(self, records):
        self._products = {record["sku"]: Product(**record) for record in records}

    def __contains__(self, sku):
        return sku in self._products

    def get(self, sku):
        try:
            return self._products[sku]
        except KeyError:
            raise NotFound(f"no product {sku!r}") from None

    def search(self, words):
        words = words.lower().split()
        found = []
        for product in self._products.values():
            text = f"{product.name} {product.group}".lower()
            if all(word in text for word in words):
                found.append(product)
        return found

    def in_group(self, group):
        return [product for product in self._products.values() if product.group == group]

    def set_stock(self, sku, stock):
        self._products[sku] = replace(self.get(sku), stock=stock)


catalog = Catalog(json.loads(_FILE.read_text(encoding="utf-8")))

_strips = {}


def related_strip(sku, visitor):
    """The HTML strip below a product, rendered once for a visitor and product."""
    key = (visitor, sku)
    if key not in _strips:
        product = catalog.get(sku)
        others = [other for other in catalog.in_group(product.group) if other.sku != sku]
        _strips[key] = "".join(_card(other, visitor) for other in others)
    return _strips[key]


def _card(product, visitor):
    return (
        f'<article class="card" data-sku="{product.sku}">'
        f'<a href="/products/{product.sku}?from=strip&amp;v={visitor}">{product.name}</a>'
        f'<p class="price">{product.price_cents / 100:.2f}</p>'
        f'<div class="text">{product.text}</div></article>\n'
    )


def summary(product):
    return {
        "sku": product.sku,
        "name": product.name,
        "price_cents": product.price_cents,
        "available": product.stock > 0,
    }


@blueprint.get("/products")
def search():
    return {"products": [summary(found) for found in catalog.search(request.args.get("q", ""))]}


@blueprint.get("/products/<sku>")
def show_product(sku):
    product = catalog.get(sku)
    return {**summary(product), "group": product.group, "weight_g": product.weight_g}


@blueprint.get("/products/<sku>/related")
def show_related(sku):
    return related_strip(sku, request.args.get("visitor", "anonymous"))
