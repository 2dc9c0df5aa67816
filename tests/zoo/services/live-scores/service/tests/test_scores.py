import asyncio

from scores import Hub, answer


def test_everybody_who_waits_hears_the_score():
    async def run():
        hub = Hub()
        waiting = [asyncio.create_task(hub.wait(2)) for _ in range(3)]
        await asyncio.sleep(0)
        hub.publish("m1", "1:0")
        return await asyncio.gather(*waiting)

    assert asyncio.run(run()) == [{"match": "m1", "score": "1:0"}] * 3


def test_nobody_waits_for_ever():
    assert asyncio.run(Hub().wait(0.01)) is None


def test_the_table():
    async def run():
        hub = Hub()
        await answer(hub, "POST", "/scores/m2", b"2:2")
        return await answer(hub, "GET", "/table", b"")

    assert asyncio.run(run()) == (200, {"m2": "2:2"})
