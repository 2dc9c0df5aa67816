from flask import Flask, jsonify, request

from rates.errors import RatesError
from rates.upstream import fetch_rate

app = Flask("rates")


@app.errorhandler(RatesError)
def tell(error):
    return jsonify(error=error.message), error.status


@app.get("/convert/<pair>")
def convert(pair):
    amount = request.args.get("amount", type=float)
    if amount is None:
        return jsonify(error="say an amount"), 400
    rate = fetch_rate(pair)
    return jsonify(pair=pair, amount=amount, result=round(amount * rate, 2))
