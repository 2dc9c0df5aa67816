"""The eight families of fixes, one file each; `all_rules` lists every template."""

from __future__ import annotations

import importlib
from functools import cache

from selfheal_engine.patch_generator.rules import Rule

MODULES = (
    "null_check",
    "error_handling",
    "resource_cleanup",
    "timeout_guard",
    "race_condition_fix",
    "syntax_fix",
    "logic_correction",
    "memory_leak_fix",
)


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every template, in the order of the strategies."""
    rules: list[Rule] = []
    for name in MODULES:
        module = importlib.import_module(f"{__name__}.{name}")
        rules += module.RULES
    return tuple(rules)
