"""Waits of the project that came to an end, heard where they did.

Looking once a second hardly ever sees a short one, and what is usual at a place is what a wait
without an end is told by.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from functools import wraps
from types import CodeType, FrameType

from selfheal_agent import frames

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

_INNER = frozenset(("communicate", "_communicate", "__exit__"))
"""Of subprocess: whoever waits for one of these to return waits once."""

ended: deque[tuple[CodeType, int, float]] = deque(maxlen=4096)
"""Waits that ended, heard where they did: place and seconds."""


def heard(original: Any) -> Any:
    """The function of a library, whose calls by the project are waits that end."""

    @wraps(original)
    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return original(*args, **kwargs)
        finally:
            _note(sys._getframe(1), time.monotonic() - began)

    return timed


def _note(frame: FrameType | None, seconds: float) -> None:
    if frame is not None and frame.f_code.co_name in _INNER:
        return
    for _ in range(40):
        if frame is None:
            return
        if frames.is_own(frame.f_code.co_filename):
            ended.append((frame.f_code, frame.f_lineno or 0, seconds))
            return
        frame = frame.f_back
