import asyncio
import gc

from scores import Hub


def test_the_hub_does_not_grow_with_every_poll():
    async def run():
        hub = Hub()
        for _ in range(200):
            await hub.wait(0)
            hub.publish("m", "x")
        gc.collect()
        return sum(isinstance(each, asyncio.Queue) for each in gc.get_objects())

    assert asyncio.run(run()) < 150
