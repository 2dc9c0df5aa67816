from flask import Flask, jsonify, request

from login.sessions import Sessions

app = Flask("login")
sessions = Sessions()


@app.post("/sessions")
def log_in():
    body = request.get_json()
    if not body.get("user"):
        return jsonify(error="who are you?"), 400
    return jsonify(token=sessions.start(body["user"], body.get("country", "??"))), 201


@app.post("/sessions/restore")
def restore():
    """After a restart the balancer tells us who was logged in."""
    count = min(int(request.get_json().get("count", 0)), 5000)
    for number in range(count):
        sessions.start(f"restored{number}", "de")
    return jsonify(sessions=len(sessions))


@app.delete("/sessions/<token>")
def log_out(token):
    return ("", 204) if sessions.end(token) else (jsonify(error="no such session"), 404)


@app.get("/operators/countries")
def countries():
    return jsonify(sessions.by_country())
