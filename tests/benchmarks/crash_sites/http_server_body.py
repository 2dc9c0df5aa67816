# run: {python} service.py {port}
# post: /notes application/json {"title": null, "text": "buy milk"}
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Notes:
    def __init__(self):
        self.lock = threading.Lock()
        self.by_title = {}

    def add(self, note):
        with self.lock:
            self.by_title[note["title"].strip()] = note["text"]  # crash


NOTES = Notes()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def do_POST(self):
        NOTES.add(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(201)
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
