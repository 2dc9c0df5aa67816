"""The probe's thread: started below `threading`, and waited for before the interpreter ends.

A thread that is still in Python code while the interpreter is taken apart is ended by force
wherever it stands, and what it stood in may be gone by then. So the end of the process waits,
for a bounded time, until the interpreter itself has let go of the thread. Kept apart from
`threading`: gevent cannot turn it into a greenlet and the service does not count it.
"""

from __future__ import annotations

import _thread
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from typing import Any

# kept from before anything could be monkey-patched
_start_new: Any = _thread.start_new_thread
_start_joinable: Any = getattr(_thread, "start_joinable_thread", None)  # from 3.13 on
_set_sentinel: Any = getattr(_thread, "_set_sentinel", None)  # before 3.13
_sleep = time.sleep
_clock = time.monotonic


class OwnThread:
    """One running thread. Raises RuntimeError where the system gives no more threads."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._gone: Any = None
        """A lock that the interpreter opens when it has let go of the thread."""
        self._handle: Any = None
        if _start_joinable is not None:
            self._handle = _start_joinable(work, daemon=True)
        else:
            _start_new(self._run, ())

    def _run(self) -> None:
        gone = _set_sentinel()
        gone.acquire()
        self._gone = gone
        self._work()

    def wait(self, timeout_s: float) -> bool:
        """Whether the thread is gone within so many seconds."""
        if self._handle is not None:
            self._handle.join(timeout_s)
            return bool(self._handle.is_done())
        end = _clock() + timeout_s
        while self._gone is None and _clock() < end:
            _sleep(0.001)
        return self._gone is not None and self._gone.acquire(True, max(0.0, end - _clock()))
