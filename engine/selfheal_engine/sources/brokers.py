"""How many jobs wait in the Redis or RabbitMQ that Celery or RQ use as their broker.

The probe tells where the queues are; their lengths are asked for here, in the broker's own
protocol (Redis: RESP 2, one request line array, one reply line for a number; RabbitMQ: AMQP), so
that the service opens no connection for it. A broker that does not answer at once is left alone
for a while.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from selfheal_engine.sources.amqp import AmqpError, AmqpQueues

ANSWER_S = 0.25
LEFT_ALONE_S = 30.0


class BrokerError(Exception):
    """The broker refused a command or does not speak the protocol."""


class Brokers:
    """Lengths of the brokers' lists; used by the engine's thread."""

    def __init__(self) -> None:
        self._silent: dict[str, float] = {}
        self._rabbits: dict[str, AmqpQueues] = {}

    def waiting(self, told: Iterable[dict[str, Any]]) -> int | None:
        """Jobs in all lists that were told of; None where there are none or nobody answers."""
        total: int | None = None
        for broker in {str(one["url"]): one for one in told}.values():
            url = str(broker["url"])
            if self._silent.get(url, 0.0) > time.monotonic():
                continue
            try:
                total = (total or 0) + self._lengths(url, broker)
            except (OSError, ValueError, BrokerError, AmqpError):
                self._forget(url)
                self._silent[url] = time.monotonic() + LEFT_ALONE_S
        return total

    def close(self) -> None:
        """Leave every broker."""
        for url in list(self._rabbits):
            self._forget(url)

    def _lengths(self, url: str, broker: dict[str, Any]) -> int:
        if not url.startswith("amqp"):
            return lengths(broker)
        rabbit = self._rabbits.get(url)
        if rabbit is None:
            rabbit = self._rabbits[url] = _rabbit(broker)
        return rabbit.lengths(str(key) for key in broker["keys"])

    def _forget(self, url: str) -> None:
        rabbit = self._rabbits.pop(url, None)
        if rabbit is not None:
            rabbit.close()


def _rabbit(broker: dict[str, Any]) -> AmqpQueues:
    url = urlsplit(str(broker["url"]))
    secure = url.scheme == "amqps"
    return AmqpQueues(
        url.hostname or "localhost",
        url.port or (5671 if secure else 5672),
        vhost=unquote(url.path[1:]) or "/",
        user=str(broker.get("user") or "guest"),
        password=str(broker.get("password") or "guest"),
        secure=secure,
    )


def lengths(broker: dict[str, Any]) -> int:
    """Sum of the lengths of a Redis's lists. Raises OSError, ValueError or BrokerError."""
    url = urlsplit(str(broker["url"]))
    commands: list[list[str]] = []
    if broker.get("password"):
        user = [str(broker["user"])] if broker.get("user") else []
        commands.append(["AUTH", *user, str(broker["password"])])
    path, _, base = url.path.rpartition("/")
    if base not in ("", "0"):
        commands.append(["SELECT", base])
    keys = [["LLEN", str(key)] for key in broker["keys"]]
    with contextlib.closing(_connected(url.scheme, url.hostname, url.port, path)) as connection:
        connection.settimeout(ANSWER_S)
        connection.sendall(b"".join(map(_request, [*commands, *keys])))
        with connection.makefile("rb") as answers:
            for _ in commands:
                _answer(answers.readline())
            return sum(int(_answer(answers.readline())) for _ in keys)


def _connected(scheme: str, host: str | None, port: int | None, path: str) -> socket.socket:
    if scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(ANSWER_S)
        connection.connect(path)
        return connection
    return socket.create_connection((host or "localhost", port or 6379), ANSWER_S)


def _request(words: list[str]) -> bytes:
    parts = [word.encode() for word in words]
    made = [b"*%d\r\n" % len(parts)]
    made += [b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]
    return b"".join(made)


def _answer(line: bytes) -> str:
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    if text[:1] not in (":", "+"):
        raise BrokerError(text or "no answer")
    return text[1:]
