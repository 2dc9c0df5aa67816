"""Slots: a room and the half hour it is taken for."""

import re
from collections import namedtuple

from desk.problems import Problem

Slot = namedtuple("Slot", "room hour minute")

CODE = re.compile(r"R(?P<room>\d{1,2})-(?P<hour>\d\d)(?P<minute>00|30)$")
ROOMS = 20
OPENS, CLOSES = 8, 18


def parse_slot(code):
    """The slot that a code such as R12-0930 names."""
    match = CODE.match(code)
    room = int(match.group("room"))
    hour = int(match.group("hour"))
    if not 1 <= room <= ROOMS:
        raise Problem(404, "no such room")
    if not OPENS <= hour < CLOSES:
        raise Problem(422, "the house is closed then")
    return Slot(room, hour, int(match.group("minute")))


class Diary:
    """Who has which slot."""

    def __init__(self):
        self._taken = {}

    def holder(self, slot):
        return self._taken.get(slot)

    def book(self, slot, who):
        if self._taken.setdefault(slot, who) != who:
            raise Problem(409, "taken")
