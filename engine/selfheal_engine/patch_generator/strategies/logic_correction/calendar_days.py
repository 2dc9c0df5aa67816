"""Days that the calendar does not have: a thirteenth month, a thirty-first of February."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.edits import (
    EXPR,
    add_argument,
    add_import,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_PLACES = ("year", "month", "day")


@dataclass(frozen=True)
class _Day:
    """The parts of `date(...)`, `datetime(...)` or `x.replace(...)`: expression or None."""

    call: ast.Call
    parts: dict[str, ast.expr | None]
    replaced: str
    """The day that `replace` starts from; "" where all parts are given."""

    def text(self, scene: Scene, part: str) -> str:
        given = self.parts[part]
        return scene.text(given) if given is not None else f"{self.replaced}.{part}"


class MonthInYear(Rule):
    """Goes on to the next year with the month after December, and back before January."""

    name = "month_in_year"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import datetime


                def f(day=datetime.date(2026, 12, 5)):
                    return datetime.date(day.year, day.month + 1, 1)
                """,
            after="""
                import datetime


                def f(day=datetime.date(2026, 12, 5)):
                    return datetime.date(day.year + day.month // 12, day.month % 12 + 1, 1)
                """,
        ),
        Example(
            before="""
                import datetime


                def f(day=datetime.date(2026, 1, 5)):
                    return day.replace(month=day.month - 1, day=1)
                """,
            after="""
                import datetime


                def f(day=datetime.date(2026, 1, 5)):
                    return day.replace(month=(day.month - 2) % 12 + 1, day=1, \
year=day.year + (day.month - 2) // 12)
                """,
        ),
        Example(
            before="""
                import datetime


                def f(month=13):
                    return datetime.date(2026, 13, 1)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        day = _day(scene) if "month must be in 1..12" in scene.message else None
        month = day.parts["month"] if day is not None else None
        if day is None or month is None or isinstance(month, ast.Constant):
            return
        base = _months_before(scene, month)
        years = f"{day.text(scene, 'year')} + {base} // 12"
        year = day.parts["year"]
        yield scene.draft(
            replace_expression(month, f"{base} % 12 + 1"),
            add_argument(day.call, f"year={years}")
            if year is None
            else replace_expression(year, years),
            title="the month after December is the next year's January",
            weight=1.9,
        )


class DayInMonth(Rule):
    """Takes the month's last day where it has not got so many."""

    name = "day_in_month"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import datetime


                def f(day=datetime.date(2024, 2, 29)):
                    return day.replace(year=day.year + 1)
                """,
            after="""
                import calendar
                import datetime


                def f(day=datetime.date(2024, 2, 29)):
                    return day.replace(year=day.year + 1, \
day=min(day.day, calendar.monthrange(day.year + 1, day.month)[1]))
                """,
        ),
        Example(
            before="""
                import datetime


                def f(year=2026, month=2, day=30):
                    return datetime.date(year, month, day)
                """,
            after="""
                import calendar
                import datetime


                def f(year=2026, month=2, day=30):
                    return datetime.date(year, month, min(day, calendar.monthrange(year, month)[1]))
                """,
        ),
        Example(
            before="""
                import datetime


                def f():
                    return datetime.date(2026, 2, 30)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        out_of_range = "day is out of range" in scene.message or "day must be in" in scene.message
        day = _day(scene) if out_of_range else None
        given = day.parts["day"] if day is not None else None
        if day is None or isinstance(given, ast.Constant):
            return
        year, month = day.text(scene, "year"), day.text(scene, "month")
        last = f"calendar.monthrange({year}, {month})[1]"
        yield scene.draft(
            add_argument(day.call, f"day=min({day.text(scene, 'day')}, {last})")
            if given is None
            else replace_expression(given, f"min({EXPR}, {last})"),
            add_import("import calendar"),
            title="the month's last day where it has not got so many",
            weight=1.7,
        )


def _day(scene: Scene) -> _Day | None:
    call = scene.node
    if scene.exception != "ValueError" or not isinstance(call, ast.Call):
        return None
    given: dict[str, ast.expr | None] = dict.fromkeys(_PLACES)
    given |= {k.arg: k.value for k in call.keywords if k.arg in _PLACES}
    given |= dict(zip(_PLACES, call.args, strict=False))
    if called_name(call) == "replace" and isinstance(call.func, ast.Attribute):
        return _Day(call, given, scene.text(call.func.value))
    if called_name(call) in ("date", "datetime") and all(given.values()):
        return _Day(call, given, "")
    return None


def _months_before(scene: Scene, month: ast.expr) -> str:
    """The month's number from 0, as an expression that `//` and `%` can follow."""
    if isinstance(month, ast.BinOp) and isinstance(month.op, ast.Add | ast.Sub):
        number = month.right
        if isinstance(number, ast.Constant) and type(number.value) is int:
            signed = number.value if isinstance(month.op, ast.Add) else -number.value
            left = scene.text(month.left)
            if signed == 1:
                return left if isinstance(month.left, ast.Name | ast.Attribute) else f"({left})"
            return f"({left} {'+' if signed > 1 else '-'} {abs(signed - 1)})"
    return f"({scene.text(month)} - 1)"
