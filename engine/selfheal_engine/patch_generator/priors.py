"""How often a template's patches turn out right: fixed knowledge, moved by this user's history.

The fixed part mirrors how people fix: guards and defaults are half of the patches for type
errors (PyTER's benchmark, FSE 2022); single-statement fixes by their shares in TSSB-3M (MSR
2022). What can mean one thing only (a name that the module has elsewhere, a method that was not
called, a place of an SQL statement without a value) counts more than a guard. The learned part is
the Beta posterior of the episodes' outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping

Priors = Mapping[str, tuple[float, float]]

FIXED: dict[str, float] = {
    "null_check/refuse_request": 0.75,
    "null_check/answer_in_handler": 0.75,
    "null_check/return_early": 0.6,
    "null_check/skip_in_loop": 0.6,
    "null_check/default_at_lookup": 0.65,
    "null_check/use_default": 0.55,
    "null_check/tolerate_missing_key": 0.55,
    "null_check/optional_chain": 0.45,
    "error_handling/refuse_missing_key": 0.65,
    "null_check/default_for_none": 0.65,
    "null_check/default_at_origin": 0.6,
    "null_check/ask_the_walrus": 0.7,
    "error_handling/read_exit_code": 0.7,
    "error_handling/make_folder": 0.7,
    "logic_correction/read_as_elsewhere": 0.65,
    "logic_correction/keep_the_object": 0.8,
    "logic_correction/add_return": 0.6,
    "logic_correction/attribute_not_key": 0.7,
    "logic_correction/await_if_needed": 0.6,
    "logic_correction/bind_values": 0.7,
    "logic_correction/call_the_method": 0.65,
    "logic_correction/escape_pattern": 0.65,
    "logic_correction/fit_key": 0.65,
    "logic_correction/fit_member": 0.6,
    "logic_correction/hashable_key": 0.6,
    "logic_correction/method_of_kind": 0.65,
    "logic_correction/module_member": 0.7,
    "logic_correction/set_beforehand": 0.6,
    "logic_correction/start_base": 0.65,
    "logic_correction/store_apart": 0.75,
    "logic_correction/unshadow": 0.7,
    "logic_correction/visit_once": 0.6,
    "logic_correction/wider_encoding": 0.65,
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
