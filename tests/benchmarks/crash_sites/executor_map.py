# run: {python} service.py
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple


class Box(NamedTuple):
    width: float
    height: float
    label: str = ""


def ratio(box):
    return box.width / box.height  # crash


def measure(boxes):
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(ratio, boxes))


try:
    measure([Box(1, 2), Box(3, 0, "flat")])
except ZeroDivisionError:
    logging.exception("could not measure")
time.sleep(60)
