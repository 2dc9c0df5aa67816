"""What the runners of pytest and of unittest share: canaries, watchers, the last record."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import contexts, cover, replay
else:
    import contexts
    import cover
    import replay

_cover: list[cover.Cover] = []
"""The one that watches this process, once it does."""
_contexts: list[contexts.Contexts] = []
"""Likewise, where it is asked which test runs what."""


def watch(orders: dict[str, Any]) -> None:
    """Have this process watched as the orders ask."""
    if orders.get("cover"):
        _cover.append(cover.Cover(orders["cover"], orders["root"]))
        _cover[0].start()
    if orders.get("contexts"):
        _contexts.append(contexts.Contexts(orders["root"]))
        _contexts[0].start()


def ending(
    orders: dict[str, Any], collected: int, code: int, stopped: str, *, late: bool
) -> dict[str, Any]:
    """The last record: without it, the run did not come to its end."""
    found: dict[str, Any] = {"collected": collected, "code": code, "stopped": stopped}
    found["late"] = late
    if _contexts:
        found["contexts"] = _contexts[0].found()
    if _cover:
        found["covered"] = _cover[0].found()
    if orders.get("libraries"):
        found["libraries"] = replay.libraries(orders["root"])
    return found


def begins() -> None:
    for watcher in _contexts:
        watcher.begin()


def ends(test: str) -> None:
    for watcher in _contexts:
        watcher.end(test)


def canaries() -> dict[str, str]:
    """Source of four tests, fresh every time: names that start with `p` must pass, `f` fail."""
    left, right = secrets.randbelow(1 << 30), secrets.randbelow(1 << 30)
    word = secrets.token_hex(8)
    return {
        "p" + secrets.token_hex(6): f"assert {left} + {right} == {left + right}",
        "f" + secrets.token_hex(6): f"assert {left} + {right} == {left + right + 1}",
        "f" + secrets.token_hex(5): f"assert '{word}'.upper() == '{word}x'",
        "f" + secrets.token_hex(7): f"raise KeyError('{word}')",
    }
