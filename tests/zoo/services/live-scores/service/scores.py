"""Live scores: POST /scores/<match>, GET /table, and GET /poll which waits for the next score.

    python scores.py PORT
"""

import asyncio
import json
import logging
import sys

log = logging.getLogger("scores")

POLL_S = 0.25


class Hub:
    """Scores go to everybody who waits."""

    def __init__(self):
        self.table = {}
        self._listeners = []

    def listen(self):
        listener = asyncio.Queue()
        self._listeners.append(listener)
        return listener

    def publish(self, match, score):
        self.table[match] = score
        for listener in self._listeners:
            listener.put_nowait({"match": match, "score": score})

    async def wait(self, patience_s=POLL_S):
        """The next score, None when there was none in time."""
        listener = self.listen()
        try:
            return await asyncio.wait_for(listener.get(), patience_s)
        except asyncio.TimeoutError:
            return None

    def listeners(self):
        return len(self._listeners)


async def answer(hub, method, path, body):
    if (method, path) == ("GET", "/table"):
        return 200, hub.table
    if (method, path) == ("GET", "/poll"):
        return 200, await hub.wait()
    if method == "POST" and path.startswith("/scores/"):
        hub.publish(path.rsplit("/", 1)[-1], body.decode("utf-8", "replace"))
        return 201, {}
    return 404, {"error": "no such page"}


def make_client(hub):
    async def client(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, path, _ = head.split(" ", 2)
                length = 0
                for line in head.lower().split("\r\n"):
                    if line.startswith("content-length:"):
                        length = int(line.split(":")[1])
                body = await reader.readexactly(length)
                status, reply = await answer(hub, method, path, body)
                payload = json.dumps(reply).encode()
                writer.write(
                    b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s"
                    % (status, len(payload), payload)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return client


async def main(port):
    logging.basicConfig(level=logging.WARNING)
    server = await asyncio.start_server(make_client(Hub()), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000))
