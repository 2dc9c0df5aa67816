# run: {python} service.py
import functools
import threading
import time


def timed(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        begun = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            TIMES.append(time.perf_counter() - begun)

    return inner


TIMES = []
TABLE = {("a", 1): "one"}


@timed
@functools.lru_cache(maxsize=32)
def lookup(name, version):
    return TABLE[name, version].upper()  # crash


threading.Thread(target=lookup, args=("a",), kwargs={"version": 2}).start()
time.sleep(60)
