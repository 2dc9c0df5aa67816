"""Collects measurements and writes them out, 12 MB at a time.

    python buffer.py PORT
"""

import asyncio
import os
import sys
import tempfile

PIECE_BYTES = 12_000_000


class Buffer:
    def __init__(self, path):
        self.path = path
        self.parts = []
        self.size = 0

    def add(self, part):
        self.parts.append(part)
        self.size += len(part)
        if self.size >= PIECE_BYTES:
            self.write_out()

    def write_out(self):
        with open(self.path, "wb") as out:
            out.writelines(self.parts)
        self.parts = []
        self.size = 0


def make_client(buffer):
    async def client(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                lengths = [line for line in head.split("\r\n") if line.startswith("content-length:")]
                length = int(lengths[0].split(":")[1]) if lengths else 0
                buffer.add(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return client


async def main(port):
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "measurements")
    server = await asyncio.start_server(make_client(Buffer(path)), "127.0.0.1", port, limit=1 << 17)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000))
