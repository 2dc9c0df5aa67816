# run: {python} service.py
# wait: 7
import logging
import time


def drain(batch, sizes):
    total = 0
    while batch:
        total += sizes[batch.pop()]  # crash
    return total


while True:
    try:
        drain(["c", "zz", "a"], {"a": 1, "c": 3})
    except KeyError:
        logging.exception("batch lost")
    time.sleep(0.5)
