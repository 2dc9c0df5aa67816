import asyncio

import pytest

from relay import Relay


async def talk(text):
    server = await asyncio.start_server(Relay().client, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    everything = await asyncio.wait_for(reader.read(), 3)
    writer.close()
    server.close()
    return everything


@pytest.mark.parametrize("hello", [b"HELLO 1\n", b"nonsense\n"])
def test_it_says_why_and_closes(hello):
    assert asyncio.run(talk(hello)) == b"REFUSED\n"


def test_good_sensors_are_served_to_the_end():
    assert asyncio.run(talk(b"HELLO 3\nt 1\nBYE\n")) == b"WELCOME\nSTORED 1\n"
