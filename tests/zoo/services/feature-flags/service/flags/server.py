"""A small HTTP server on asyncio streams."""

import asyncio
import json
import logging

from flags.rules import Rules, RuleStore

log = logging.getLogger("flags")
WARM = ("acme", "globex", "initech")


async def answer(rules, path):
    parts = path.strip("/").split("/")
    if len(parts) != 2 or parts[0] != "flags":
        return 404, {"error": "no such page"}
    return 200, {"tenant": parts[1], "flags": await rules.of(parts[1])}


def make_client(rules):
    async def client(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode("latin-1")
                try:
                    status, body = await answer(rules, path)
                except Exception:
                    log.exception("GET %s failed", path)
                    status, body = 500, {"error": "internal error"}
                payload = json.dumps(body).encode()
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


async def serve(port):
    rules = Rules(RuleStore({"acme": {"beta": True}}))
    await rules.warm_up(WARM)
    server = await asyncio.start_server(make_client(rules), "127.0.0.1", port)
    async with server:
        await server.serve_forever()
