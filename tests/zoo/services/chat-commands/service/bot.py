"""A chat bot: commands are modules in `commands`, found by name.

    python bot.py PORT
"""

import importlib
import importlib.util
import json
import logging
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

log = logging.getLogger("bot")


class Usage(Exception):
    """A command was used in the wrong way; its text is the answer."""


def find_command(name):
    """The module of a command, None when there is none."""
    if not name.isidentifier() or importlib.util.find_spec(f"commands.{name}") is None:
        return None
    return importlib.import_module(f"commands.{name}")


def answer_to(text):
    """The bot's answer, "" when nobody asked it."""
    if not text.startswith("!"):
        return ""
    name, *words = text[1:].split()
    command = find_command(name)
    if command is None:
        return f"I know no {name}"
    try:
        return command.run(words)
    except Usage as usage:
        return f"usage: {usage}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        try:
            status, reply = 200, {"answer": answer_to(str(body.get("text", "")))}
        except Exception:
            log.exception("no answer to %r", body.get("text"))
            status, reply = 500, {"error": "internal error"}
        payload = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *words):
        pass


if __name__ == "__main__":
    sys.modules["bot"] = sys.modules["__main__"]
    logging.basicConfig(level=logging.WARNING)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.serve_forever()
