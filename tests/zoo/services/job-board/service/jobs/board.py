"""The board: jobs wait, a worker claims the oldest one."""

import hashlib
import os
import threading
from pathlib import Path

ROUNDS = 40_000


class Board:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._waiting = {}
        self._claimed = {}
        self._next = 1
        self._lock = threading.Lock()

    def add(self, what):
        with self._lock:
            number = self._next
            self._next += 1
            self._waiting[number] = what
        return number

    def waiting(self):
        with self._lock:
            return len(self._waiting)

    def _record(self, number, worker):
        """A claim is on disk before the worker hears of it."""
        seal = hashlib.pbkdf2_hmac("sha256", worker.encode(), str(number).encode(), ROUNDS).hex()
        path = self.folder / f"{number % 64}.claim"
        with path.open("w", encoding="utf-8") as out:
            out.write(f"{number} {worker} {seal}\n")
            out.flush()
            os.fsync(out.fileno())

    def claim(self, worker):
        """(number, what) of the job that is now this worker's, None when nothing waits."""
        if not self._waiting:
            return None
        number = min(self._waiting)
        self._record(number, worker)
        what = self._waiting.pop(number)
        self._claimed[number] = worker
        return number, what

    def release(self, number, what):
        """The worker gave the job back."""
        with self._lock:
            if self._claimed.pop(number, None) is not None:
                self._waiting[number] = what
