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


def in_words(episode: Episode, fingerprint: str, now_s: float) -> str:
    """One line for the review: "seen before: #7, 3 days ago, healed by null_check/guard"."""
    alike = "seen before" if fingerprint and episode.fingerprint == fingerprint else "similar"
    days = int((now_s - episode.ended_s) // 86400)
    when = "today" if days < 1 else "yesterday" if days == 1 else f"{days} days ago"
    patch = f" {episode.strategy}/{episode.template}" if episode.strategy else ""
    done = {
        "healed": f"healed by{patch}",
        "rolled_back": f"rolled back{patch}",
        "rejected": f"rejected{patch}",
    }.get(episode.state, episode.state)
    why = f" ({episode.reason})" if episode.state != "healed" and episode.reason else ""
    return f"{alike}: #{episode.number} {episode.title}, {when}, {done}{why}"
