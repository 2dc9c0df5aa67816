import asyncio
import os
import socket

from watch import check_host, status_of

PATIENCE_S = float(os.environ.get("ZOO_PATIENCE_S", "40"))


def test_a_silent_host_is_reported_and_not_as_up():
    async def run():
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            return await asyncio.wait_for(status_of(f"/check/127.0.0.1/{port}"), PATIENCE_S)

    status, body = asyncio.run(run())
    assert status in (200, 502, 503, 504)
    if status == 200:
        assert body == {"up": False, "banner": ""}


def test_a_slow_host_is_waited_for():
    async def run():
        async def greet(reader, writer):
            await asyncio.sleep(0.3)
            writer.write(b"220 slow\r\n")
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        result = await check_host("127.0.0.1", port)
        server.close()
        return result

    assert asyncio.run(run()) == {"up": True, "banner": "220 slow"}
