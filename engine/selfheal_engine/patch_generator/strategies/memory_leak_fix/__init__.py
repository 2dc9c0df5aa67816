"""Something grows without end: bound the cache, drop the entry, forget the listener.

The report names the line that allocates and, where known, the container that keeps. Every
writer of the same container in the file gets the bound.
"""

from __future__ import annotations

from selfheal_engine.patch_generator.rules import Rule
from selfheal_engine.patch_generator.strategies.memory_leak_fix.bounds import (
    BoundCache,
    BoundList,
    BoundMemo,
)
from selfheal_engine.patch_generator.strategies.memory_leak_fix.forgetting import (
    ForgetAfterUse,
    ForgetOnClose,
    ForgetTask,
)
from selfheal_engine.patch_generator.strategies.memory_leak_fix.fresh import FreshDefault
from selfheal_engine.patch_generator.strategies.memory_leak_fix.unsubscribing import LeaveOnClose

RULES: tuple[Rule, ...] = (
    BoundCache(),
    BoundMemo(),
    BoundList(),
    ForgetOnClose(),
    LeaveOnClose(),
    ForgetTask(),
    ForgetAfterUse(),
    FreshDefault(),
)
