"""Defaults that decide more than a patch may: amounts of money, and who may do what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.reflection_engine.change import Change
from selfheal_engine.reflection_engine.rule import Finding

MONEY = re.compile(
    r"price|amount|total|cost|fee|tax|vat|cents|discount|balance|salary|refund|charge|rate|shipping",
    re.IGNORECASE,
)
SECURITY = re.compile(
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
        ("x = PRICES[name]\n", "x = PRICES.get(name, 0)\n"),
        (
            "def shipping_cents(a):\n    return a.b\n",
            "def shipping_cents(a):\n    if a is None:\n        return 0\n    return a.b\n",
        ),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for line, _ in _invented(change, MONEY, numbers=True):
            yield line, "a number is made up where money is reckoned: better refuse"


class ZeroFactor:
    """A missing factor taken for 0: the product is 0, whatever the other factors say."""

    name = "zero_factor"
    weight = 0.8
    VALID = (
        ("x = n * d[k]\n", "x = n * d.get(k, 1)\n"),
        ("x = n + d[k]\n", "x = n + d.get(k, 0)\n"),
        ("x = d.get(k, 0) * n\n", "x = d.get(k, 0) * n + 1\n"),
        ("x = a / b * n\n", "x = (a / b if b else 0) * n\n"),
    )
    INVALID = (
        ("x = n * d[k]\n", "x = n * d.get(k, 0)\n"),
        ("x = a.price * n\n", "x = (a.price or 0) * n\n"),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        old = {ast.dump(node) for node in ast.walk(change.before) if isinstance(node, ast.BinOp)}
        for node in change.new_nodes():
            if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult):
                continue
            if ast.dump(node) not in old and any(map(_zero_stands_in, (node.left, node.right))):
                yield node.lineno, "what is missing counts as 0 here, and so does the whole product"


def _zero_stands_in(factor: ast.expr) -> bool:
    if isinstance(factor, ast.Call) and len(factor.args) == 2:
        got = isinstance(factor.func, ast.Attribute) and factor.func.attr == "get"
        return got and _is_zero(factor.args[1])
    return isinstance(factor, ast.BoolOp) and _is_zero(factor.values[-1])


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float) and not node.value


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
        for line, _ in _invented(change, SECURITY, numbers=False):
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
            table = node.func.value if isinstance(node.func, ast.Attribute) else node.func
            if any(_about(argument, about) for argument in (table, *node.args[:-1])):
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
