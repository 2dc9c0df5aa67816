# run: {python} service.py {port}
# line: {"op": "sub", "args": [3]}
import asyncio
import json
import sys


class Calculator:
    def __init__(self):
        self.calls = 0
        self.free = asyncio.Semaphore(4)

    async def serve(self, reader, writer):
        while line := await reader.readline():
            async with self.free:
                answer = await self.evaluate(json.loads(line))
            writer.write(f"{answer}\n".encode())
            await writer.drain()
        writer.close()

    async def evaluate(self, call):
        self.calls += 1
        first, *rest = call["args"]
        if call["op"] == "sub":
            return first - rest[0]  # crash
        return first + sum(rest)


async def main():
    server = await asyncio.start_server(Calculator().serve, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


asyncio.run(main())
