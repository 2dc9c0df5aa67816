import gc
import tracemalloc

from geo import Locator


def test_the_locator_does_not_grow_with_every_address():
    locator = Locator()

    def ask(block):
        for number in range(2500):
            locator.locate(f"10.{block}.{number // 250}.{number % 250}")
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    ask(1)
    ask(2)
    before = ask(3)
    after = ask(4)
    tracemalloc.stop()
    assert after < before * 1.1
