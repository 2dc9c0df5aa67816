"""Where an address comes from: GET /locate/<address>.

    python geo.py PORT
"""

import hashlib
import ipaddress
import json
import logging
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

log = logging.getLogger("geo")

COUNTRIES = ("de", "fr", "it", "se", "pl", "es", "nl")
LANGUAGES = tuple(f"l{number:02}" for number in range(90))


class Locator:
    """Looks addresses up; `lookups` counts those that were not remembered."""

    def __init__(self):
        self._known = {}
        self.lookups = 0

    def names(self, country, address):
        """The place's name in every language we have."""
        return {lang: f"{country} / {address} / region {lang} of {country.upper()}" for lang in LANGUAGES}

    def locate(self, address):
        place = self._known.get(address)
        if place is not None:
            return place
        self.lookups += 1
        ipaddress.ip_address(address)
        digest = hashlib.md5(address.encode()).digest()
        country = COUNTRIES[digest[0] % len(COUNTRIES)]
        place = {"country": country, "names": self.names(country, address)}
        self._known[address] = place
        return place


def make_handler(locator):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            parts = self.path.strip("/").split("/")
            if len(parts) != 2 or parts[0] != "locate":
                return self.reply(404, {"error": "no such page"})
            try:
                place = locator.locate(parts[1])
            except ValueError:
                return self.reply(400, {"error": "that is no address"})
            return self.reply(200, {"country": place["country"], "name": place["names"]["l00"]})

        def reply(self, status, body):
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *words):
            pass

    return Handler


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    server = ThreadingHTTPServer(("127.0.0.1", port), make_handler(Locator()))
    server.daemon_threads = True
    server.serve_forever()
