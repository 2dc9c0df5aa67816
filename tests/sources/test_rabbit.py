"""Queues of a RabbitMQ: told of by a Celery worker, asked for in AMQP."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from selfheal_agent import notes, queues
from selfheal_agent.integrations import workers
from selfheal_engine.sources import amqp
from selfheal_engine.sources.amqp import AmqpError, AmqpQueues
from selfheal_engine.sources.brokers import Brokers

QUEUES = {"celery": 12, "mail": 3}


class Rabbit(socketserver.StreamRequestHandler):
    """As much of a RabbitMQ as knows lengths; heartbeats come in between."""

    logins: ClassVar[list[bytes]] = []
    vhosts: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        if self.rfile.read(8) != b"AMQP\0\0\x09\x01":
            return
        self.say(0, amqp.START, b"\0\x09" + bytes(4) + self.long(b"PLAIN") + self.long(b"en_US"))
        login = self.hear(amqp.START_OK)
        self.logins.append(login)
        if b"wrong" in login:
            return  # what a RabbitMQ does to a client that shows no capabilities
        self.say(0, amqp.TUNE, struct.pack(">HIH", 2047, 131_072, 60))
        assert self.hear(amqp.TUNE_OK) == struct.pack(">HIH", 1, 131_072, 0)
        self.vhosts.append(self.hear(amqp.OPEN))
        if b"secret" in self.vhosts[-1]:
            text = b"access to vhost refused"
            self.say(0, amqp.CLOSE, b"\x02\x12" + bytes([len(text)]) + text + bytes(4))
            return
        self.say(0, amqp.OPEN_OK, b"\0")
        while True:
            self.hear(amqp.CHANNEL_OPEN)
            self.say(1, amqp.CHANNEL_OPEN_OK, bytes(4))
            while (name := self.hear_declare()) in QUEUES:
                self.wfile.write(b"\x08\0\0\0\0\0\0\xce")
                made = bytes([len(name)]) + name.encode() + struct.pack(">II", QUEUES[name], 1)
                self.say(1, amqp.DECLARE_OK, made)
            if not name:
                return
            self.say(1, amqp.CHANNEL_CLOSE, b"\x01\x94\x00\x00\x32\x00\x0a")
            self.hear(amqp.CHANNEL_CLOSE_OK)

    def hear_declare(self) -> str:
        try:
            body = self.hear(amqp.DECLARE)
        except (EOFError, AssertionError):
            return ""
        length = body[2]
        assert body[3 + length : 4 + length] == amqp.PASSIVE, "the queue must not be made"
        return body[3 : 3 + length].decode()

    def hear(self, kind: tuple[int, int]) -> bytes:
        head = self.rfile.read(7)
        if len(head) < 7:
            raise EOFError
        body = self.rfile.read(struct.unpack(">BHI", head)[2])
        assert self.rfile.read(1) == b"\xce"
        assert struct.unpack_from(">HH", body) == kind
        return body[4:]

    def say(self, channel: int, kind: tuple[int, int], body: bytes) -> None:
        whole = struct.pack(">HH", *kind) + body
        self.wfile.write(struct.pack(">BHI", 1, channel, len(whole)) + whole + b"\xce")

    @staticmethod
    def long(text: bytes) -> bytes:
        return struct.pack(">I", len(text)) + text


@pytest.fixture
def rabbit() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rabbit) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def told(port: int, *keys: str, vhost: str = "%2F", **more: str) -> dict[str, Any]:
    return {"url": f"amqp://127.0.0.1:{port}/{vhost}", "keys": list(keys), **more}


def test_ready_messages_are_counted_over_one_connection(rabbit: int) -> None:
    Rabbit.logins.clear()
    brokers = Brokers()
    message = told(rabbit, "celery", "not made yet", "mail", vhost="shop%2Feu", user="joe")
    for _ in range(3):
        assert brokers.waiting([message, message]) == 15, "two workers tell of one broker"
    brokers.close()
    assert len(Rabbit.logins) == 1
    assert b"\0joe\0guest" in Rabbit.logins[0]
    assert b"shop/eu" in Rabbit.vhosts[-1]


def test_a_broker_that_refuses_says_nothing_and_is_left_alone(rabbit: int) -> None:
    Rabbit.logins.clear()
    brokers = Brokers()
    for _ in range(2):
        assert brokers.waiting([told(rabbit, "celery", password="wrong")]) is None
    assert len(Rabbit.logins) == 1
    with pytest.raises(AmqpError, match="access to vhost refused"):
        AmqpQueues("127.0.0.1", rabbit, vhost="secret", timeout_s=5)


def test_what_does_not_speak_amqp_says_nothing() -> None:
    class Web(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert Brokers().waiting([told(server.server_address[1], "celery")]) is None
        server.shutdown()


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"hostname": "mq", "virtual_host": "v/x"}, "amqp://mq:5672/v%2Fx"),
        ({"hostname": None, "virtual_host": "/"}, "amqp://localhost:5672/%2F"),
        ({"hostname": "mq", "virtual_host": "/", "ssl": True}, "amqps://mq:5671/%2F"),
    ],
)
def test_a_celery_worker_tells_where_its_settings_say(settings: dict[str, Any], url: str) -> None:
    given = {"transport_cls": "amqp", "port": None, "userid": "u", "password": "p", "ssl": False}
    app = SimpleNamespace(
        amqp=SimpleNamespace(queues={"celery": None}),
        connection_for_read=lambda: SimpleNamespace(**{**given, **settings}),
    )
    before = list(notes.notes)
    queues.forget()
    workers._tell_celery(app)
    assert queues.brokers == {url: {"url": url, "keys": ["celery"], "user": "u", "password": "p"}}
    assert notes.notes == before
    queues.forget()
