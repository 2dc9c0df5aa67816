"""Sensors: a connection each, a hello, some readings, a goodbye."""

import socket
from collections import deque

from selfheal_tui.demo.driver import Moment, Options, Request, play


def plan(moment: Moment) -> Request:
    bad = moment.bug_on and moment.rng.random() < 0.5
    return Request("HELLO", "1" if bad else "2", bad=bad, timeout_s=3)


# the firmware of old sensors leaves it to the relay to close what it has refused
patient: deque[socket.socket] = deque(maxlen=400)


def send(chosen: Options, request: Request) -> int:
    wire = socket.create_connection(("127.0.0.1", chosen.port), request.timeout_s)
    stream = wire.makefile("rwb")
    stream.write(f"HELLO {request.path}\n".encode())
    stream.flush()
    said = stream.readline()
    if said.startswith(b"REFUSED"):
        patient.append(wire)
        return 400
    if not said.startswith(b"WELCOME"):
        raise ConnectionError("no answer")
    stream.write(b"temp 21.5\nhum 40\nBYE\n")
    stream.flush()
    with wire:
        return 200 if stream.readline().startswith(b"STORED 2") else 500


play(plan, send=send)
