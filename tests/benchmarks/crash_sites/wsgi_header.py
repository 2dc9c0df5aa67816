# run: {bin}/gunicorn -b 127.0.0.1:{port} service:application
# get: /report?days=3
import json


def tenant_of(environ):
    return environ.get("HTTP_X_TENANT").lower()  # crash


def application(environ, start_response):
    if environ["PATH_INFO"] == "/":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]
    body = json.dumps({"tenant": tenant_of(environ)}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
