"""How long the garbage collector holds the program up.

The interpreter calls back when a collection begins and when it ends, in whatever thread it
happens; only one runs at a time, so the sum needs no lock.
"""

from __future__ import annotations

import gc
from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

paused_s = 0.0
"""Since the process began."""

_began = 0.0


def install() -> None:
    """Listen, once; also across forks."""
    if _listen not in gc.callbacks:
        gc.callbacks.append(_listen)


def _listen(phase: str, _info: dict[str, Any]) -> None:
    global paused_s, _began
    if phase == "start":
        _began = perf_counter()
    elif _began:
        paused_s += perf_counter() - _began
        _began = 0.0
