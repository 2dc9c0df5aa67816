"""The last notes of a worker."""

from collections import deque

from flask import Flask, jsonify, request

app = Flask("notes")
notes = deque(maxlen=20)


@app.get("/notes")
def show():
    return jsonify(list(notes))


@app.post("/notes")
def add():
    notes.append(str(request.get_json().get("text", "")))
    return jsonify(count=len(notes)), 201
