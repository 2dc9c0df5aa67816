import asyncio
import os
import socket

from watch import status_of

PATIENCE_S = float(os.environ.get("ZOO_PATIENCE_S", "40"))


def test_a_silent_host_does_not_hold_the_check():
    async def run():
        with socket.create_server(("127.0.0.1", 0)) as silent:
            try:
                await asyncio.wait_for(status_of(f"/check/127.0.0.1/{silent.getsockname()[1]}"), PATIENCE_S)
            except (asyncio.TimeoutError, TimeoutError) as why:
                raise AssertionError("still waiting") from why

    asyncio.run(run())
