# run: {bin}/flask --app service:app run -p {port}
# get: /me
from flask import Flask, g, request

app = Flask(__name__)
SESSIONS = {"s1": {"user": "ada"}}


@app.before_request
def load():
    if request.path != "/":
        g.session = SESSIONS.get(request.cookies.get("sid", ""))


@app.get("/")
def index():
    return "ok"


@app.get("/me")
def me():
    return g.session["user"]  # crash
