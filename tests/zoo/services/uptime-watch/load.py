"""Plays two hosts: one that greets, and one that stays silent from the bug's time on."""

import socket
import sys
import threading
import time

from selfheal_tui.demo.driver import Moment, Request, options, play

chosen = options(sys.argv[1:])
listener = socket.create_server(("127.0.0.1", chosen.upstream_port), backlog=64)
silent: list[socket.socket] = []


def greet() -> None:
    count, began = 0, 0.0
    while True:
        wire, _ = listener.accept()
        count, began = count + 1, began or time.monotonic()
        if time.monotonic() - began > chosen.bug_after_s and count % 6 == 0:
            silent.append(wire)
            continue
        with wire:
            wire.sendall(b"220 ready\r\n")


threading.Thread(target=greet, daemon=True).start()


def plan(moment: Moment) -> Request:
    if moment.rng.random() < 0.4:
        return Request("GET", "/summary")
    return Request("GET", f"/check/127.0.0.1/{chosen.upstream_port}", bad=moment.bug_on)


play(plan, chosen)
