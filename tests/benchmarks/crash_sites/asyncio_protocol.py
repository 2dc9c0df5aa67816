# run: {python} service.py {port}
# line: 12 + x
import asyncio
import sys


class Adder(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        left, _, right = data.decode().split()
        self.transport.write(str(int(left) + int(right)).encode())  # crash


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Adder, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
