"""A call that may wait for ever: the timeout in the API's own form, and what happens on expiry.

The value comes from the call's own past durations, else from the timeouts that the project uses
elsewhere. Only calls that are known to wait without limit are touched.
"""

from __future__ import annotations

from selfheal_engine.patch_generator.rules import Rule
from selfheal_engine.patch_generator.strategies.timeout_guard.calls import (
    LimitCall,
    LimitCallAndAnswer,
)
from selfheal_engine.patch_generator.strategies.timeout_guard.connections import (
    LimitMaker,
    LimitSocket,
)
from selfheal_engine.patch_generator.strategies.timeout_guard.waits import LimitAwait, LimitLock

RULES: tuple[Rule, ...] = (
    LimitCallAndAnswer(),
    LimitCall(),
    LimitAwait(),
    LimitSocket(),
    LimitMaker(),
    LimitLock(),
)
