# run: {python} service.py {port}
# line: SET colour
import socketserver
import sys


class Commands(socketserver.StreamRequestHandler):
    store = {}

    def handle(self):
        for raw in self.rfile:
            words = raw.decode().split()
            self.wfile.write(self.answer(words).encode() + b"\n")

    def answer(self, words):
        if words[0] == "SET":
            self.store[words[1]] = words[2]  # crash
            return "OK"
        return self.store.get(words[1], "-")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Commands).serve_forever()
