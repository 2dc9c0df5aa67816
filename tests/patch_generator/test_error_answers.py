"""How a function of a service says no: each case gives the way that it would refuse here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from selfheal_engine.diagnosis.source_file import Sources
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.conventions import Conventions
from selfheal_engine.project import Project

HTTP_SERVER = """
from http import HTTPStatus

class Handler(BaseHTTPRequestHandler):
    def reply(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self):
        if self.path not in PAGES:
            {answer}
        self.reply(200, PAGES[self.path])

    def do_PUT(self):
        data = self.body()
"""
FLASK = """
from flask import Flask, jsonify
app = Flask(__name__)

@app.get("/a/<name>")
def a(name):
    if name not in NAMES:
        {answer}
    return jsonify(name=name)

@app.put("/b/<name>")
def b(name):
    pass
"""
WSGI = """
def respond(start_response, status, body):
    start_response(status, [])
    return [body]

def application(environ, start_response):
    if environ["PATH_INFO"] not in PAGES:
        {answer}
    number = int(environ["QUERY_STRING"])
"""
COMMANDS = """
def cmd_get(args):
    if args[0] not in ITEMS:
        {answer}
    return "OK"

def cmd_set(args):
    pass

def helper(name, value):
    pass
"""


def first_way(text: str, function: str, folder: Path, status: int = 400) -> str:
    """The code by which the function would refuse; "" where the project shows no way."""
    (folder / "service.py").write_text(text)
    sources = Sources(Project(folder, sys.executable))
    file = sources.get("service.py")
    assert file is not None
    message = "x not found" if status == 404 else "x is bad"
    ways = refusals(
        Conventions(sources), file, file.functions[function], (status,), message, ("x",)
    )
    return next((way.code for way in ways), "")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (
            'return self.reply(404, {"error": "no page"})',
            'return self.reply(404, {"error": "no x"})',
        ),
        (
            'self.reply(404, {"error": f"no {self.path}"})\n            return',
            'self.reply(404, {"error": "x not found"})\nreturn',
        ),
        (
            'return self.send_error(404, "page not found")',
            'return self.send_error(404, "x not found")',
        ),
        (
            "self.send_response(404)\n            self.end_headers()\n"
            '            self.wfile.write(b"no such page\\n")\n            return',
            "self.send_response(404)\nself.end_headers()\n"
            'self.wfile.write(b"x not found\\n")\nreturn',
        ),
        (
            'return self.reply(HTTPStatus.NOT_FOUND, {"error": "unknown page"})',
            'return self.reply(HTTPStatus.NOT_FOUND, {"error": "unknown x"})',
        ),
        ("self.log(404)\n            self.count += 1\n            return", ""),
    ],
)
def test_a_hand_written_server_answers_as_its_other_methods_do(
    answer: str, code: str, tmp_path: Path
) -> None:
    text = HTTP_SERVER.format(answer=answer)
    made = first_way(text, "Handler.do_PUT", tmp_path, 404)
    assert made == code


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ('return jsonify(error="no such a"), 404', 'return jsonify(error="x is bad"), 400'),
        ('return api_error(404, "no such a")', 'return api_error(400, "x is bad")'),
        (
            'return jsonify(code=404, why="gone"), 404',
            'return jsonify(code=400, why="x is bad"), 400',
        ),
        ('abort(404, "no such a")', 'abort(400, "x is bad")'),
        ("return render(404), 200", 'abort(400, "x is bad")'),
    ],
)
def test_the_shape_that_clients_know_comes_before_the_frameworks_own(
    answer: str, code: str, tmp_path: Path
) -> None:
    text = FLASK.format(answer=answer).replace("app = ", "def api_error(s, t): ...\napp = ")
    assert first_way(text, "b", tmp_path) == code


def test_a_status_line_is_said_anew(tmp_path: Path) -> None:
    answer = 'return respond(start_response, "404 Not Found", {"error": "no page"})'
    code = 'return respond(start_response, "400 Bad Request", {"error": "x is bad"})'
    assert first_way(WSGI.format(answer=answer), "application", tmp_path) == code


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ('return f"ERR no item {args[0]}"', 'return "ERR x is bad"'),
        ('return "-ERR no item\\r\\n"', 'return "-ERR x is bad\\r\\n"'),
        (
            'return {"ok": False, "error": "no item"}',
            'return {"ok": False, "error": "x is bad"}',
        ),
        ('return error("no item")', 'return error("x is bad")'),
        ('return "none"', ""),
    ],
)
def test_a_command_answers_as_commands_of_its_form_do(
    answer: str, code: str, tmp_path: Path
) -> None:
    text = "def error(text): ...\n" + COMMANDS.format(answer=answer)
    assert first_way(text, "cmd_set", tmp_path) == code
    assert first_way(text, "helper", tmp_path) == ""
