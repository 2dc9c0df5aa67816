"""For other programs."""

from json import dumps


def render(rows, currency):
    return dumps({"currency": currency, "rows": rows, "total": sum(row["cents"] for row in rows)})
