"""Registered customers and guests."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from flask import Blueprint

from shop.errors import InvalidOrder, NotFound

blueprint = Blueprint("customers", __name__)

_FILE = Path(__file__).parent / "data" / "customers.json"


@dataclass(frozen=True)
class Customer:
    id: str
    name: str
    email: str
    address: Optional[dict] = None
    tier: str = "standard"


class CustomerDirectory:
    def __init__(self, records):
        self._by_id = {record["id"]: Customer(**record) for record in records}

    def find(self, customer_id):
        customer = self._by_id.get(customer_id)
        if customer is None:
            raise NotFound(f"no customer {customer_id!r}")
        return customer


directory = CustomerDirectory(json.loads(_FILE.read_text(encoding="utf-8")))


def customer_of(payload):
    """Who is ordering: a registered customer by id, or a guest by name and e-mail."""
    if "customer" in payload:
        return directory.find(payload["customer"])
    guest = payload.get("guest")
    if not guest or not guest.get("email"):
        raise InvalidOrder("an order needs a customer or a guest with an e-mail address")
    return Customer(
        id="guest",
        name=guest.get("name", "Guest"),
        email=guest["email"],
        address=guest.get("address"),
    )


@blueprint.get("/customers/<customer_id>")
def show_customer(customer_id):
    customer = directory.find(customer_id)
    return {"id": customer.id, "name": customer.name, "tier": customer.tier}
