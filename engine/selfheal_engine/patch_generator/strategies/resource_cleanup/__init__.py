"""Something opened is not closed on every path: `with`, `closing`, try/finally, back to the pool.

The place that leaks is rarely the place that fails when the limit is reached, so every opener of
the project is looked at; those on the traceback come first.
"""

from __future__ import annotations

from selfheal_engine.patch_generator.rules import Rule
from selfheal_engine.patch_generator.strategies.resource_cleanup.finally_blocks import (
    CloseInFinally,
    GiveBack,
)
from selfheal_engine.patch_generator.strategies.resource_cleanup.lazy_reads import ReadWhileOpen
from selfheal_engine.patch_generator.strategies.resource_cleanup.paired_calls import (
    GiveBackAfter,
)
from selfheal_engine.patch_generator.strategies.resource_cleanup.with_blocks import (
    OpenInWith,
    ReadInWith,
)

RULES: tuple[Rule, ...] = (
    OpenInWith(),
    GiveBack(),
    GiveBackAfter(),
    ReadInWith(),
    CloseInFinally(),
    ReadWhileOpen(),
)
