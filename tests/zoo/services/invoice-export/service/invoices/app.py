import importlib

from flask import Flask, Response, abort

app = Flask("invoices")

EXPORTS = {"csv": "text/csv", "json": "application/json", "text": "text/plain"}
INVOICES = {
    1: ("EUR", [{"name": "Rent of a desk", "cents": 45000}, {"name": "Coffee", "cents": 1250}]),
    2: ("CHF", [{"name": "Workshop", "cents": 120000}]),
    3: ("EUR", []),
}


def load_export(kind):
    """The plug-in for an export; imported when it is first asked for."""
    return importlib.import_module(f"invoices.exports.{kind}")


@app.get("/invoices/<int:number>.<kind>")
def export(number, kind):
    if kind not in EXPORTS or number not in INVOICES:
        abort(404)
    currency, rows = INVOICES[number]
    return Response(load_export(kind).render(rows, currency), mimetype=EXPORTS[kind])
