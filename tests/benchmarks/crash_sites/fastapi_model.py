# run: {bin}/uvicorn --port {port} --log-level warning service:api
# post: /quote application/json {"items": [{"sku": "a", "count": 2}], "coupon": "SPRING"}
from typing import List, Optional

from fastapi import Depends, FastAPI
from pydantic import BaseModel

api = FastAPI()
COUPONS = {"SPRING": None}


class Item(BaseModel):
    sku: str
    count: int


class Quote(BaseModel):
    items: List[Item]
    coupon: Optional[str] = None


def rates():
    return {"a": 120}


def discounted(quote, table):
    gross = sum(table[item.sku] * item.count for item in quote.items)
    return gross * (1 - COUPONS[quote.coupon]["rate"])  # crash


@api.get("/")
def index():
    return "ok"


@api.post("/quote")
def price(quote: Quote, table: dict = Depends(rates)):
    return {"cents": discounted(quote, table)}
