import asyncio

from relay import Relay


def talk(*lines, expect):
    async def run():
        relay = Relay()
        server = await asyncio.start_server(relay.client, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write("".join(f"{line}\n" for line in lines).encode())
        answers = [(await asyncio.wait_for(reader.readline(), 5)).decode().strip() for _ in range(expect)]
        writer.close()
        server.close()
        return relay, answers

    return asyncio.run(run())


def test_readings_are_stored():
    relay, answers = talk("HELLO 2", "temp 21.5", "hum 40", "BYE", expect=2)
    assert answers == ["WELCOME", "STORED 2"]
    assert relay.latest == {"temp": "21.5", "hum": "40"}


def test_an_old_sensor_is_refused():
    assert talk("HELLO 1", expect=1)[1] == ["REFUSED"]
    assert talk("GET / HTTP/1.0", expect=1)[1] == ["REFUSED"]
