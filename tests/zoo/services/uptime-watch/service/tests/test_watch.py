import asyncio

from watch import check_host, status_of


def with_host(greeting, use):
    async def run():
        async def greet(reader, writer):
            writer.write(greeting)
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        try:
            return await use(server.sockets[0].getsockname()[1])
        finally:
            server.close()

    return asyncio.run(run())


def test_a_host_that_greets_is_up():
    result = with_host(b"220 hi\r\n", lambda port: check_host("127.0.0.1", port))
    assert result == {"up": True, "banner": "220 hi"}


def test_a_host_that_refuses_is_down():
    async def run():
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return await check_host("127.0.0.1", port)

    assert asyncio.run(run()) == {"up": False, "banner": ""}


def test_the_summary_counts():
    with_host(b"x\n", lambda port: status_of(f"/check/127.0.0.1/{port}"))
    status, body = asyncio.run(status_of("/summary"))
    assert status == 200
    assert body["up"] >= 1
    assert asyncio.run(status_of("/else"))[0] == 404
