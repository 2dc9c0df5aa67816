"""Orders in SQLite: one connection for each thread, shared by the workers through WAL."""

import json
import os
import sqlite3
import threading
import time
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    email TEXT NOT NULL,
    total_cents INTEGER NOT NULL,
    lines TEXT NOT NULL,
    placed_at REAL NOT NULL
)
"""


def default_path():
    return os.environ.get("SHOP_DATABASE") or str(Path(__file__).parent.parent / "var" / "shop.db")


class Orders:
    def __init__(self, path):
        self.path = path
        self._local = threading.local()
        self._memory = sqlite3.connect(path, check_same_thread=False) if path == ":memory:" else None
        self._lock = threading.Lock()

    def _connection(self):
        if self._memory is not None:
            self._memory.execute(SCHEMA)
            return self._memory
        connection = getattr(self._local, "connection", None)
        if connection is None:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=5)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(SCHEMA)
            self._local.connection = connection
        return connection

    def add(self, email, total_cents, lines):
        """Stores an order and returns its number."""
        row = (email, total_cents, json.dumps(lines), time.time())
        with self._lock:
            connection = self._connection()
            with connection:
                cursor = connection.execute(
                    "INSERT INTO orders (email, total_cents, lines, placed_at) VALUES (?, ?, ?, ?)",
                    row,
                )
                return cursor.lastrowid

    def count(self, email):
        cursor = self._connection().execute(
            "SELECT COUNT(*) FROM orders WHERE email = ?", (email,)
        )
        return cursor.fetchone()[0]
