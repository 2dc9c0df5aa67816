"""A small HTTP server on asyncio streams."""

import asyncio
import json
import logging

from reader.rss import BadFeed, parse_feed

log = logging.getLogger("reader")
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}


async def read_request(stream):
    """(method, path, body), or None when the client has gone."""
    head = await stream.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    length = 0
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return method, path, await stream.readexactly(length)


def answer(method, path, body):
    if (method, path) != ("POST", "/feeds"):
        return 404, {"error": "no such page"}
    try:
        return 200, parse_feed(body)
    except BadFeed as why:
        return 400, {"error": str(why)}


async def client(stream, writer):
    try:
        while True:
            method, path, body = await read_request(stream)
            try:
                status, reply = answer(method, path, body)
            except Exception:
                log.exception("%s %s failed", method, path)
                status, reply = 500, {"error": "internal error"}
            payload = json.dumps(reply).encode()
            writer.write(
                f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(payload)}\r\n\r\n".encode() + payload
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve(port):
    server = await asyncio.start_server(client, "127.0.0.1", port)
    async with server:
        await server.serve_forever()
