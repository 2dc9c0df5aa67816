"""Stock feeds: suppliers post what they have, a few times an hour."""

import logging

from flask import Blueprint, request

from shop.catalog import catalog
from shop.errors import ShopError

blueprint = Blueprint("suppliers", __name__)
log = logging.getLogger(__name__)


def parse_quantity(record):
    """Units on hand: suppliers send cases of twelve with a "c" behind the number."""
    text = record["on_hand"].strip().lower()
    if text.endswith("c"):
        return int(text[:-1]) * 12
    return int(text)


def import_feed(supplier, records):
    """Takes over a feed's stock and returns (SKUs updated, SKUs rejected)."""
    updated, rejected = [], []
    for record in records:
        sku = record["sku"]
        if sku not in catalog:
            log.warning("feed of %s: unknown SKU %s", supplier, sku)
            rejected.append(sku)
            continue
        catalog.set_stock(sku, parse_quantity(record))
        updated.append(sku)
    return updated, rejected


@blueprint.post("/suppliers/<supplier>/stock")
def post_feed(supplier):
    feed = request.get_json()
    if not isinstance(feed, dict) or not isinstance(feed.get("records"), list):
        raise ShopError("a feed is an object with a list of records")
    updated, rejected = import_feed(supplier, feed["records"])
    return {"updated": len(updated), "rejected": rejected}
