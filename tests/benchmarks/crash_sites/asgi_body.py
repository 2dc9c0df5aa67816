# run: {bin}/uvicorn --port {port} --log-level warning --loop asyncio service:app
# post: /ingest text/plain cpu=1;mem=;disk=9
class Ingest:
    def __init__(self):
        self.seen = {}

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["path"] != "/":
            self.keep(body.decode())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    def keep(self, text):
        for pair in text.split(";"):
            name, _, value = pair.partition("=")
            self.seen[name] = float(value)  # crash


app = Ingest()
