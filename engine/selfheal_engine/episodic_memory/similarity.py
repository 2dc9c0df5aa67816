"""Which past episodes resemble an incident: what the review shows as "seen before"."""

from __future__ import annotations

from collections.abc import Iterable

from selfheal_engine.model import Episode


def most_similar(
    episodes: Iterable[Episode], fingerprint: str, bug_type: str = "", exception: str = ""
) -> list[Episode]:
    """Episodes that resemble the incident, most alike first.

    The same bug counts most, then the same exception with the same bug type, then the same bug
    type; among equals healed ones come first, then in the order given.
    """

    def likeness(episode: Episode) -> int:
        if fingerprint and episode.fingerprint == fingerprint:
            return 3
        if bug_type and episode.bug_type == bug_type:
            return 2 if exception and episode.exception == exception else 1
        return 0

    ranked = [(likeness(episode), episode) for episode in episodes]
    ranked = [pair for pair in ranked if pair[0]]
    ranked.sort(key=lambda pair: (pair[0], pair[1].state == "healed"), reverse=True)
    return [episode for _, episode in ranked]
