from flask import Flask, jsonify, request

from reports.queries import BadFilter, monthly_report, regions_report

app = Flask("reports")


@app.errorhandler(BadFilter)
def refuse(error):
    return jsonify(error=str(error)), 400


@app.get("/reports/monthly")
def monthly():
    return jsonify(
        rows=monthly_report(request.args.get("region", ""), request.args.get("order", "month"))
    )


@app.get("/reports/regions")
def regions():
    return jsonify(regions_report(request.args.get("least", 0, type=int)))
