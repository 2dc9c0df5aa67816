# run: {python} service.py {port}
# get: /cart/9
import sys
from wsgiref.simple_server import make_server

CARTS = {"1": ["apple"]}


def page(path):
    number = path.rsplit("/", 1)[1]
    return ", ".join(CARTS.get(number))  # crash


def application(environ, start_response):
    text = page(environ["PATH_INFO"]) if environ["PATH_INFO"] != "/" else "ok"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]


if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()
