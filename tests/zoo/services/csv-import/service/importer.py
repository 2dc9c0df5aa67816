"""Price lists: `name;price` with a head line, UTF-8."""

import csv
import io
from decimal import Decimal, InvalidOperation

prices = {}


class ImportRefused(Exception):
    """The list is refused as a whole; `line` is where, 0 for all of it."""

    def __init__(self, message, line=0):
        super().__init__(message)
        self.line = line


def read_rows(body):
    """(line number, row) of the list, the head left out."""
    text = body.decode("utf-8")
    rows = csv.reader(io.StringIO(text), delimiter=";")
    head = next(rows, None)
    if head != ["name", "price"]:
        raise ImportRefused("the head line must be name;price", 1)
    return list(enumerate(rows, start=2))


def import_prices(body):
    """Takes a whole list or nothing; returns how many prices it held."""
    fresh = {}
    for line, row in read_rows(body):
        if len(row) != 2:
            raise ImportRefused("a row has two columns", line)
        try:
            price = Decimal(row[1])
        except InvalidOperation:
            raise ImportRefused(f"{row[1]!r} is no price", line) from None
        fresh[row[0]] = str(price)
    prices.update(fresh)
    return len(fresh)
