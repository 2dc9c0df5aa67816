"""Delivery quotes: the carrier's live rate where it can be had, our table otherwise."""

import json
import logging
import os
import urllib.parse
import urllib.request

from flask import Blueprint, request

from shop.errors import ShopError
from shop.rates import table_rate

blueprint = Blueprint("delivery", __name__)
log = logging.getLogger(__name__)


def carrier_url():
    return os.environ.get("SHOP_CARRIER_URL", "http://127.0.0.1:8099")


def carrier_rate(country, weight_g):
    """The carrier's rate in cents. Raises OSError when the carrier cannot be reached."""
    query = urllib.parse.urlencode({"to": country, "grams": weight_g})
    with urllib.request.urlopen(f"{carrier_url()}/rates?{query}") as reply:
        return int(json.load(reply)["cents"])


def quote(country, weight_g):
    """(cents, source) for a parcel; the table's rate stands in when the carrier is away."""
    listed = table_rate(country, weight_g)
    try:
        return min(listed, carrier_rate(country, weight_g)), "carrier"
    except OSError as why:
        log.warning("carrier not reachable, quoting the table: %s", why)
        return listed, "table"


@blueprint.get("/delivery/quote")
def show_quote():
    try:
        weight_g = int(request.args["weight"])
    except ValueError:
        raise ShopError("the weight must be a whole number of grams") from None
    cents, source = quote(request.args["country"].upper(), weight_g)
    return {"cents": cents, "source": source}
