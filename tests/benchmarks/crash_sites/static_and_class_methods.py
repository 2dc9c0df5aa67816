# run: {python} service.py
import threading
import time
import uuid
from pathlib import Path


class Storage:
    root = Path("/var/lib/none")
    quotas = {}

    @staticmethod
    def key(name, at=uuid.UUID(int=7)):
        return f"{at.hex[:4]}/{name}"

    @classmethod
    def place(cls, name, *parts, quota=None):
        target = cls.root.joinpath(*parts, cls.key(name))
        return target, cls.quotas[quota]  # crash


threading.Thread(target=Storage.place, args=("a", "b", "c"), kwargs={"quota": "big"}).start()
time.sleep(60)
