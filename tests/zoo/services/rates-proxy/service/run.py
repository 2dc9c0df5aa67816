import os

from werkzeug.serving import WSGIRequestHandler, run_simple

from rates.app import app


class Quiet(WSGIRequestHandler):
    def log_request(self, *words):
        pass


if __name__ == "__main__":
    port = int(os.environ.get("RATES_PORT", "8000"))
    run_simple("127.0.0.1", port, app, threaded=True, request_handler=Quiet)
