# run: {bin}/gunicorn -w 1 --threads 2 -b 127.0.0.1:{port} service:app
# post: /split application/json {"amounts": [10, 20], "people": []}
from flask import Flask, jsonify, request

app = Flask(__name__)


class Bill:
    def __init__(self, amounts):
        self.amounts = amounts

    def share(self, people):
        return sum(self.amounts) / len(people)  # crash


@app.get("/")
def index():
    return "ok"


@app.post("/split")
def split():
    body = request.get_json()
    return jsonify(share=Bill(body["amounts"]).share(body["people"]))
