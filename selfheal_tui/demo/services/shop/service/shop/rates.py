"""The table of shipping rates, by zone and weight."""

from shop.errors import InvalidOrder

ZONES = {
    "DE": "home", "AT": "near", "NL": "near", "BE": "near", "FR": "near", "DK": "near",
    "PL": "near", "IT": "far", "ES": "far", "SE": "far", "FI": "far", "IE": "far",
}  # fmt: skip

CENTS = {
    "home": ((1000, 390), (5000, 590), (20000, 1190)),
    "near": ((1000, 890), (5000, 1290), (20000, 2190)),
    "far": ((1000, 1290), (5000, 1890), (20000, 3490)),
}

MAX_WEIGHT_G = 20000


def zone_of(country):
    zone = ZONES.get(country)
    if zone is None:
        raise InvalidOrder(f"we do not ship to {country}", country=country)
    return zone


def table_rate(country, weight_g):
    """Shipping in cents. Raises InvalidOrder for what we cannot ship."""
    for limit, cents in CENTS[zone_of(country)]:
        if weight_g <= limit:
            return cents
    raise InvalidOrder("too heavy for one parcel", weight_g=weight_g, most_g=MAX_WEIGHT_G)
