"""How often a template's patches turn out right: fixed knowledge, moved by this user's history.

The fixed part mirrors how people fix: guards and defaults are half of the patches for type
errors (PyTER's benchmark, FSE 2022); single-statement fixes by their shares in TSSB-3M (MSR
2022). The learned part is the Beta posterior of the episodes' outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping

Priors = Mapping[str, tuple[float, float]]

FIXED: dict[str, float] = {
    "null_check/refuse_request": 0.75,
    "null_check/return_early": 0.6,
    "null_check/skip_in_loop": 0.6,
    "null_check/default_at_lookup": 0.65,
    "null_check/use_default": 0.55,
    "null_check/tolerate_missing_key": 0.55,
    "null_check/optional_chain": 0.45,
    "error_handling/refuse_missing_key": 0.65,
}
BY_STRATEGY: dict[str, float] = {
    "null_check": 0.55,
    "error_handling": 0.55,
    "resource_cleanup": 0.6,
    "timeout_guard": 0.65,
    "race_condition_fix": 0.55,
    "syntax_fix": 0.6,
    "logic_correction": 0.45,
    "memory_leak_fix": 0.6,
}


def prior_of(strategy: str, template: str, learned: Priors) -> float:
    """P(right) before any evidence, in (0, 1)."""
    fixed = FIXED.get(f"{strategy}/{template}", BY_STRATEGY.get(strategy, 0.4))
    for key in (f"{strategy}/{template}", strategy):
        if key in learned:
            good, bad = learned[key]
            weight = good + bad
            # the fixed knowledge counts as four observations
            return (fixed * 4 + good) / (4 + weight) if weight > 0 else fixed
    return fixed
