"""What the probe's thread does once, before it serves: signals, imports, bytecode."""

from __future__ import annotations

import os
import sys


def block_signals() -> None:
    # signals must reach the service's main thread, whose system calls they interrupt
    try:
        # built in; `signal` loads enum and re, which a short script may lack
        import _signal  # type: ignore[import-not-found,unused-ignore]

        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    except (ImportError, OSError, ValueError):
        return


def preload() -> None:
    """Import what is needed later now: then there may be no descriptor left to read it with."""
    import base64  # noqa: F401
    import dis  # noqa: F401
    import json  # noqa: F401

    from selfheal_agent import (  # noqa: F401
        deques,
        descriptors,
        frames,
        good_calls,
        lock_orders,
        locks,
        long_waits,
        printing,
        queues,
        recording,
        requests,
        scrub,
        stalls,
        swallowed,
        swap,
        swapping,
        tasks,
        texts,
        warned,
    )


def keep_compiled() -> None:
    """Where bytecode is not written, compile the probe once, for all later starts."""
    import importlib.util

    if not sys.dont_write_bytecode:
        return
    here = os.path.dirname(os.path.abspath(__file__))
    for folder, _, names in os.walk(here):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".py") and not os.path.exists(importlib.util.cache_from_source(path)):
                import py_compile

                try:
                    py_compile.compile(path, doraise=True)
                except (py_compile.PyCompileError, OSError):
                    return
