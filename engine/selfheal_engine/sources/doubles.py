"""One exception that several sources tell of is one occurrence.

The probe, an error tracker's client and a log may all tell of the same crash, at different
times and in different detail. Who tells of a place first keeps it for as long as it goes on
telling of it; the probe, which knows most, is waited for and always believed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from selfheal_engine.model import Occurrence

HOLD_S = 1.5
"""How long others are held back while a better teller may still tell of the same."""
KEEP_S = 60.0
MAX_HELD = 2_000
MAX_PLACES = 5_000
PROBE = "probe"

Place = tuple[str, str, int]


class Doubles:
    """Who told of which place last."""

    def __init__(self) -> None:
        self._owners: dict[Place, tuple[str, float]] = {}
        self._held: deque[tuple[float, str, Occurrence]] = deque()
        self.dropped = 0
        """Occurrences that were told of so fast that they could not be held."""

    def told_by_probe(self, occurrences: Iterable[Occurrence], now_s: float) -> None:
        """These have gone on already: nobody else needs to tell of them."""
        for occurrence in occurrences:
            self._own(place_of(occurrence), PROBE, now_s)

    def tell(self, teller: str, occurrences: Iterable[Occurrence], now_s: float) -> None:
        """Hold what another source tells, until `due` gives it out."""
        for occurrence in occurrences:
            if len(self._held) >= MAX_HELD:
                self.dropped += 1
                continue
            self._held.append((now_s, teller, occurrence))

    def due(self, now_s: float, *, wait: bool) -> list[Occurrence]:
        """What nobody else has told of; `wait` for others who may."""
        found: list[Occurrence] = []
        while self._held and (not wait or now_s - self._held[0][0] >= HOLD_S):
            _, teller, occurrence = self._held.popleft()
            place = place_of(occurrence)
            owner, last_s = self._owners.get(place, (teller, now_s))
            if owner == teller or now_s - last_s > KEEP_S:
                self._own(place, teller, now_s)
                found.append(occurrence)
        return found

    def _own(self, place: Place, teller: str, now_s: float) -> None:
        self._owners.pop(place, None)
        self._owners[place] = (teller, now_s)
        while len(self._owners) > MAX_PLACES:
            self._owners.pop(next(iter(self._owners)))


def place_of(occurrence: Occurrence) -> Place:
    """Class and innermost own line: every source knows these."""
    crash = occurrence.crash
    name = occurrence.exception.rpartition(".")[2]
    return (name, crash.file, crash.line) if crash is not None else (name, "", 0)


def merged(
    occurrences: Iterable[Occurrence], put: Callable[[Occurrence], Occurrence]
) -> list[Occurrence]:
    """Each bug once with its count: `put` fills in the fingerprint."""
    first: dict[Place, Occurrence] = {}
    counts: dict[Place, int] = {}
    for occurrence in occurrences:
        place = place_of(occurrence)
        first.setdefault(place, occurrence)
        counts[place] = counts.get(place, 0) + occurrence.count
    return [put(_counted(first[place], counts[place])) for place in first]


def _counted(occurrence: Occurrence, count: int) -> Occurrence:
    return occurrence if occurrence.count == count else replace(occurrence, count=count)
