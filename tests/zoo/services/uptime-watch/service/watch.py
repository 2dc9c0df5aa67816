"""Is that host up? GET /check/<host>/<port>, GET /summary.

    python watch.py PORT
"""

import asyncio
import json
import logging
import sys

log = logging.getLogger("watch")

history = {}


async def read_banner(host, port):
    """The first line that a host sends."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        line = await reader.readline()
    finally:
        writer.close()
    return line.decode("latin-1").strip()


async def check_host(host, port):
    """{"up": ..., "banner": ...} of a host; what cannot be reached is down."""
    try:
        banner = await read_banner(host, port)
    except OSError as why:
        log.info("%s:%s is down: %s", host, port, why)
        return {"up": False, "banner": ""}
    return {"up": True, "banner": banner}


async def status_of(path):
    parts = path.strip("/").split("/")
    if parts == ["summary"]:
        return 200, {"hosts": len(history), "up": sum(each["up"] for each in history.values())}
    if len(parts) == 3 and parts[0] == "check" and parts[2].isdigit():
        result = await check_host(parts[1], int(parts[2]))
        history[parts[1], parts[2]] = result
        return 200, result
    return 404, {"error": "no such page"}


async def client(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode("latin-1")
            try:
                status, body = await status_of(path)
            except Exception:
                log.exception("%s failed", path)
                status, body = 500, {"error": "internal error"}
            payload = json.dumps(body).encode()
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(payload), payload)
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(port):
    logging.basicConfig(level=logging.WARNING)
    server = await asyncio.start_server(client, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000))
