"""Sensors: a connection each, a hello, some readings, a goodbye."""

import socket

from selfheal_tui.demo.driver import Moment, Options, Request, play


def plan(moment: Moment) -> Request:
    bad = moment.bug_on and moment.rng.random() < 0.5
    return Request("HELLO", "1" if bad else "2", bad=bad, timeout_s=3)


def send(chosen: Options, request: Request) -> int:
    with socket.create_connection(("127.0.0.1", chosen.port), request.timeout_s) as wire:
        stream = wire.makefile("rwb")
        stream.write(f"HELLO {request.path}\n".encode())
        stream.flush()
        if not stream.readline().startswith(b"WELCOME"):
            return 400  # refused, as we are told in the line
        stream.write(b"temp 21.5\nhum 40\nBYE\n")
        stream.flush()
        return 200 if stream.readline().startswith(b"STORED 2") else 500


play(plan, send=send)
