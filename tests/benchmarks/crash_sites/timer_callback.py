# run: {python} service.py
import threading
import time
from collections import defaultdict, deque
from decimal import Decimal


class Ledger:
    __slots__ = ("accounts", "recent")

    def __init__(self):
        self.accounts = defaultdict(Decimal, {"cash": Decimal("12.50")})
        self.recent = deque(["open"], maxlen=3)

    def close_day(self, *, rounding="0.05"):
        for name, value in self.accounts.items():
            steps = value / Decimal(rounding or "0")  # crash
            self.recent.append((name, steps))


book = Ledger()
threading.Timer(0.2, book.close_day, kwargs={"rounding": None}).start()
time.sleep(60)
