"""A fixed number of connections, borrowed and given back."""

import queue
import sqlite3
from contextlib import contextmanager

ROWS = [
    (region, month, 1000 + 37 * month * len(region))
    for region in ("north", "south", "west")
    for month in range(1, 13)
]


def connect():
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute("CREATE TABLE sales (region TEXT, month INTEGER, total INTEGER)")
    connection.executemany("INSERT INTO sales VALUES (?, ?, ?)", ROWS)
    return connection


class Pool:
    """Connections wait here; `borrow` blocks until one is free."""

    def __init__(self, size=4, patience_s=2.0):
        self.patience_s = patience_s
        self._free = queue.Queue()
        for _ in range(size):
            self._free.put(connect())

    def borrow(self):
        return self._free.get(timeout=self.patience_s)

    def give_back(self, connection):
        self._free.put(connection)

    def free(self):
        return self._free.qsize()

    @contextmanager
    def lease(self):
        connection = self.borrow()
        try:
            yield connection
        finally:
            self.give_back(connection)


pool = Pool()
