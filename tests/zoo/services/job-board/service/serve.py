"""python serve.py PORT"""

import logging
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from jobs.board import Board
from jobs.web import make_app


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class Handler(WSGIRequestHandler):
    def log_message(self, *words):
        pass


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    board = Board(Path(__file__).parent / "var" / "claims")
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    make_server("127.0.0.1", port, make_app(board), Server, Handler).serve_forever()
