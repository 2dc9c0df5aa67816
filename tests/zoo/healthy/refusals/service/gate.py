"""A gate with codes."""

import logging
import time

from flask import Flask, jsonify, request

logging.basicConfig(level=logging.WARNING)
log = logging.getLogger("gate")
app = Flask("gate")

CODES = {"ada": 1815}
tries = {}


class Refused(Exception):
    def __init__(self, reason, status):
        super().__init__(reason)
        self.status = status


@app.errorhandler(Refused)
def refuse(error):
    log.warning("refused: %s", error)
    return jsonify(error=str(error)), error.status


@app.errorhandler(404)
def unknown(error):
    log.warning("no page %s", request.path)
    return jsonify(error="no such page"), 404


def check(user, code):
    try:
        known = CODES[user] == int(code)
    except (KeyError, ValueError):
        log.warning("odd attempt of %s", user, exc_info=True)
        known = False
    if not known:
        count, since = tries.get(user, (0, time.time()))
        if time.time() - since > 5:
            count, since = 0, time.time()
        if len(tries) < 1000:
            tries[user] = (count + 1, since)
        if count > 5:
            raise Refused("too often", 429)
        raise Refused("wrong code", 401)


@app.post("/login")
def login():
    body = request.get_json()
    check(body.get("user", ""), body.get("code", ""))
    return jsonify(welcome=body["user"])
