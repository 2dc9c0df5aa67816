import logging

from flask import Flask, jsonify

from labels.partner import Partner, PartnerDown

app = Flask("labels")
log = logging.getLogger("labels")
partner = Partner()


def label_for(code):
    try:
        record = partner.look_up(code)
    except PartnerDown as why:
        log.warning("label for %s is not checked: %s", code, why)
        return {"code": code, "checked": False}
    return {"code": code, "checked": True, "town": record.get("town", "")}


@app.get("/labels/<int:code>")
def show_label(code):
    return jsonify(label_for(code))


@app.get("/tariffs/<int:grams>")
def show_tariff(grams):
    cents = 395 if grams <= 1000 else 595 if grams <= 5000 else 995
    return jsonify(grams=grams, cents=cents)
