# run: {bin}/gunicorn -b 127.0.0.1:{port} service:app
# get: /export?rows=4
from urllib.parse import parse_qs

PRICES = [3.0, 4.5, None, 7.25]


class Export:
    def __init__(self, environ, start):
        self.rows = int(parse_qs(environ["QUERY_STRING"]).get("rows", ["1"])[0])
        start("200 OK", [("Content-Type", "text/csv")])

    def __iter__(self):
        for number in range(self.rows):
            yield f"{number},{PRICES[number] * 2:.2f}\n".encode()  # crash


def app(environ, start_response):
    if environ["PATH_INFO"] == "/":
        start_response("204 No Content", [])
        return []
    return Export(environ, start_response)
