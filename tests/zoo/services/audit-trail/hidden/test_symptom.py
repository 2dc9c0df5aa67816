import gc
import tracemalloc

from admin.trail import Trail


def test_the_trail_does_not_grow_for_ever():
    trail = Trail()
    tracemalloc.start()
    for number in range(6000):
        trail.record("ada", f"k{number}", f"{number}" * 200)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 3_500_000
