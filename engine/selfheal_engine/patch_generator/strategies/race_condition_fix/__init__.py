"""Threads meet where they should not: copies, atomic operations, one lock, one lock order.

A lock that exists is used before one is made, and every function that touches the same shared
state gets it: a lock that only one side takes guards nothing.
"""

from __future__ import annotations

from selfheal_engine.patch_generator.rules import Rule
from selfheal_engine.patch_generator.strategies.race_condition_fix.checked_then_gone import (
    AnswerAsChecked,
)
from selfheal_engine.patch_generator.strategies.race_condition_fix.claiming import TakeFirst
from selfheal_engine.patch_generator.strategies.race_condition_fix.foreign_calls import (
    AskOutsideLock,
)
from selfheal_engine.patch_generator.strategies.race_condition_fix.holding import HoldWith
from selfheal_engine.patch_generator.strategies.race_condition_fix.lock_order import (
    OneLockOrder,
    ReentrantLock,
    SortLocks,
)
from selfheal_engine.patch_generator.strategies.race_condition_fix.shared_state import (
    AtomicRemoval,
    GuardShared,
    IterateCopy,
    JoinCheckAndAct,
)

RULES: tuple[Rule, ...] = (
    IterateCopy(),
    AtomicRemoval(),
    AnswerAsChecked(),
    GuardShared(),
    TakeFirst(),
    OneLockOrder(),
    SortLocks(),
    AskOutsideLock(),
    ReentrantLock(),
    HoldWith(),
    JoinCheckAndAct(),
)
