"""Takes readings from sensors, a line each.

    HELLO 2        -> WELCOME, or REFUSED and the end of the connection
    temp 21.5
    BYE            -> STORED 1

    python relay.py PORT
"""

import asyncio
import logging
import resource
import sys

log = logging.getLogger("relay")

SPOKEN = {"2", "3"}
MOST_FILES = 128


class Refused(Exception):
    """The sensor speaks what we do not."""


class Relay:
    def __init__(self):
        self.latest = {}
        self.connections = 0

    async def greet(self, reader, writer):
        """The hello of both sides; returns the version that is spoken."""
        words = (await reader.readline()).decode("ascii", "replace").split()
        if len(words) != 2 or words[0] != "HELLO":
            raise Refused("no hello")
        if words[1] not in SPOKEN:
            raise Refused(f"version {words[1]}")
        writer.write(b"WELCOME\n")
        await writer.drain()
        return words[1]

    async def readings(self, reader):
        """Reads until BYE or the end; returns how many readings came."""
        count = 0
        while True:
            words = (await reader.readline()).decode("ascii", "replace").split()
            if not words or words == ["BYE"]:
                return count
            name, value = words[0], words[-1]
            self.latest[name] = value
            count += 1

    async def client(self, reader, writer):
        self.connections += 1
        try:
            await self.greet(reader, writer)
            count = await self.readings(reader)
            writer.write(f"STORED {count}\n".encode())
            await writer.drain()
            writer.close()
        except Refused as why:
            log.info("refused: %s", why)
            writer.write(b"REFUSED\n")
            await writer.drain()


async def main(port):
    logging.basicConfig(level=logging.WARNING)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, MOST_FILES))
    server = await asyncio.start_server(Relay().client, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000))
