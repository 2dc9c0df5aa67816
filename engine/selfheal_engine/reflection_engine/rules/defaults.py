"""Defaults that decide more than a patch may: amounts of money, and who may do what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.reflection_engine.change import Change
from selfheal_engine.reflection_engine.rule import Finding

_MONEY = re.compile(
    r"price|amount|total|cost|fee|tax|vat|cents|discount|balance|salary|refund|charge|rate|shipping",
    re.IGNORECASE,
)
_SECURITY = re.compile(
    r"admin|allow|permi|auth|role|owner|verif|valid|secure|token|password|trusted|staff|superuser",
    re.IGNORECASE,
)


class InventedMoney:
    """A made-up number where money is reckoned: free goods are a loss, not a repair."""

    name = "invented_money"
    weight = 1.0
    VALID = (
        ("name = a.name\n", "name = a.name or ''\n"),
        ("price = a.price\n", "if a is None:\n    raise Refused\nprice = a.price\n"),
    )
    INVALID = (
        ("price = a.price\n", "price = a.price or 0\n"),
        ("x = d['tax_rate']\n", "x = d.get('tax_rate', 0)\n"),
        (
            "def shipping_cents(a):\n    return a.b\n",
            "def shipping_cents(a):\n    if a is None:\n        return 0\n    return a.b\n",
        ),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for line, _ in _invented(change, _MONEY, numbers=True):
            yield line, "a number is made up where money is reckoned: better refuse"


class LooseSecurity:
    """A default on the permissive side of a security decision."""

    name = "loose_security"
    weight = 1.6
    VALID = (("ok = a.is_admin\n", "ok = getattr(a, 'is_admin', False)\n"),)
    INVALID = (
        ("ok = a.is_admin\n", "ok = getattr(a, 'is_admin', True)\n"),
        ("ok = d['allowed']\n", "ok = d.get('allowed', True)\n"),
        (
            "def is_owner(a):\n    return a.b\n",
            "def is_owner(a):\n    if a is None:\n        return True\n    return a.b\n",
        ),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for line, _ in _invented(change, _SECURITY, numbers=False):
            yield line, "without an answer, access is granted: it must be refused"


def _invented(
    change: Change, about: re.Pattern[str], *, numbers: bool
) -> Iterator[tuple[int, ast.expr]]:
    """New constants that stand in for a value whose name matches."""

    def fits(node: ast.expr) -> bool:
        if not isinstance(node, ast.Constant):
            return False
        if numbers:
            return isinstance(node.value, int | float) and not isinstance(node.value, bool)
        return node.value is True

    for node in change.new_nodes():
        if isinstance(node, ast.Assign) and _about(node.targets[0], about):
            for choice in filter(fits, _choices(node.value)):
                yield node.lineno, choice
        if isinstance(node, ast.Call) and len(node.args) > 1 and fits(node.args[-1]):
            asked = [argument for argument in node.args[:-1] if _about(argument, about)]
            if asked:
                yield node.lineno, node
    for name, function, old in change.changed_functions():
        for part in ast.walk(function) if old is not None and about.search(name) else ():
            value = part.value if isinstance(part, ast.Return) and change.is_new(part) else None
            if value is not None and fits(value):
                yield value.lineno, value


def _choices(value: ast.expr) -> list[ast.expr]:
    """The stand-ins of `a or b` and `a if c else b`."""
    if isinstance(value, ast.BoolOp):
        return [value.values[-1]]
    return [value.body, value.orelse] if isinstance(value, ast.IfExp) else []


def _about(node: ast.expr, about: re.Pattern[str]) -> bool:
    for part in ast.walk(node):
        text = getattr(part, "attr", getattr(part, "id", getattr(part, "value", "")))
        if isinstance(text, str) and about.search(text):
            return True
    return False
