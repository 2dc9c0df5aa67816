"""A ledger of accounts over HTTP.

    python ledger.py PORT
"""

import json
import logging
import os
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

log = logging.getLogger("ledger")


class Refused(Exception):
    """Told to the client as 409."""


class Account:
    def __init__(self, name, cents):
        self.name = name
        self.cents = cents
        self.lock = threading.Lock()


class Journal:
    """One line for each movement, on disk before the balances change."""

    def __init__(self, path=None):
        self.path = path or os.path.join(tempfile.gettempdir(), f"ledger-{os.getpid()}.journal")

    def write(self, line):
        with open(self.path, "a", encoding="utf-8") as journal:
            journal.write(line + "\n")
            journal.flush()
            os.fsync(journal.fileno())


class Ledger:
    def __init__(self, names, journal):
        self.accounts = {name: Account(name, 1_000_000) for name in names}
        self.journal = journal

    def balance(self, name):
        account = self.accounts[name]
        with account.lock:
            return account.cents

    def transfer(self, payer_name, payee_name, cents):
        """Moves money. Raises Refused, and KeyError for an account that is not there."""
        if cents <= 0 or payer_name == payee_name:
            raise Refused("nothing to move")
        payer, payee = self.accounts[payer_name], self.accounts[payee_name]
        with payer.lock:
            if payer.cents < cents:
                raise Refused("not enough money")
            self.journal.write(f"{payer_name} {payee_name} {cents}")
            with payee.lock:
                payer.cents -= cents
                payee.cents += cents


def make_handler(ledger):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            try:
                self.reply(200, {"cents": ledger.balance(self.path.rsplit("/", 1)[-1])})
            except KeyError:
                self.reply(404, {"error": "no such account"})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            try:
                ledger.transfer(body["from"], body["to"], int(body["cents"]))
            except KeyError:
                return self.reply(404, {"error": "no such account"})
            except Refused as why:
                return self.reply(409, {"error": str(why)})
            return self.reply(201, {"moved": body["cents"]})

        def reply(self, status, body):
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *words):
            pass

    return Handler


NAMES = ("cash", "fees", "taxes", "rent", "savings")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    Server(("127.0.0.1", port), make_handler(Ledger(NAMES, Journal()))).serve_forever()
