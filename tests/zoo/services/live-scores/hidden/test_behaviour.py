import asyncio

from scores import Hub


def test_a_listener_is_gone_however_its_wait_ended():
    async def run():
        hub = Hub()
        await hub.wait(0.001)
        heard = asyncio.create_task(hub.wait(2))
        await asyncio.sleep(0.01)
        hub.publish("m", "1:0")
        assert (await heard)["score"] == "1:0"
        cancelled = asyncio.create_task(hub.wait(2))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        return hub.listeners()

    assert asyncio.run(run()) == 0


def test_two_hundred_at_once_all_hear_it():
    async def run():
        hub = Hub()
        waiting = [asyncio.create_task(hub.wait(3)) for _ in range(200)]
        await asyncio.sleep(0.01)
        hub.publish("m", "3:1")
        heard = await asyncio.gather(*waiting)
        return sum(each == {"match": "m", "score": "3:1"} for each in heard)

    assert asyncio.run(run()) == 200
