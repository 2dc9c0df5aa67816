from flask import Flask, jsonify, request

from admin.trail import Trail

app = Flask("admin")
trail = Trail()
settings = {}


@app.put("/settings")
def change():
    body = request.get_json()
    if "key" not in body:
        return jsonify(error="which one?"), 400
    settings[body["key"]] = len(str(body.get("value", "")))
    trail.record(request.headers.get("X-User", "?"), body["key"], request.get_data(as_text=True))
    return jsonify(changed=body["key"])


@app.get("/settings")
def show():
    return jsonify(settings)


@app.get("/trail")
def show_trail():
    return jsonify(trail.latest(request.args.get("count", 50, type=int)))
