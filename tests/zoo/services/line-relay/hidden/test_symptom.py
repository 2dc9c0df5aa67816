import asyncio

from relay import Relay


def test_the_relay_ends_a_refused_connection():
    async def run():
        server = await asyncio.start_server(Relay().client, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HELLO 1\n")
        everything = await asyncio.wait_for(reader.read(), 3)
        writer.close()
        server.close()
        return everything

    asyncio.run(run())
