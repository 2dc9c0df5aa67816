"""Figures of nothing: the mean, the best and the rate of a month without sales."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.contracts import promised
from selfheal_engine.patch_generator.edits import EXPR, Edit, add_argument, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import in_comprehension, is_stable
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_LEAST = {
    "mean": 1,
    "fmean": 1,
    "median": 1,
    "median_low": 1,
    "median_high": 1,
    "mode": 1,
    "harmonic_mean": 1,
    "geometric_mean": 1,
    "pstdev": 1,
    "pvariance": 1,
    "choice": 1,
    "stdev": 2,
    "variance": 2,
    "quantiles": 2,
}
"""How many values a function needs at least (`statistics`, `random`)."""


class FiguresOfNothing(Rule):
    """Tells each figure of the statement what it is when there are no values to compute it from."""

    name = "figures_of_nothing"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import statistics


                def f(sales=()):
                    cents = [sale['cents'] for sale in sales]
                    best = max(cents)
                    return statistics.mean(cents), best
                """,
            after="""
                import statistics


                def f(sales=()):
                    cents = [sale['cents'] for sale in sales]
                    best = max(cents, default=0)
                    return statistics.mean(cents) if cents else 0, best
                """,
        ),
        Example(
            before="""
                from statistics import stdev


                def f(values=(1,)):
                    spread = stdev(values)
                    return spread
                """,
            after="""
                from statistics import stdev


                def f(values=(1,)):
                    spread = stdev(values) if len(values) > 1 else 0
                    return spread
                """,
        ),
        Example(
            before="""
                def f(values=(1,)):
                    return values[3]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        empty = scene.exception in ("StatisticsError", "ValueError", "IndexError") and any(
            words in scene.message
            for words in ("at least", "empty", "no mode for", "requires a non-empty")
        )
        if not empty or not isinstance(node, ast.Call) or not node.args:
            return
        values = node.args[0]
        name = called_name(node)
        if name not in _LEAST and name not in ("max", "min"):
            return
        if not is_stable(values) or in_comprehension(scene.file, values, scene.statement):
            return
        said = promised(scene.function) if scene.function is not None else []
        alone = isinstance(scene.file.parent(node), ast.Return)
        neutral = [said[0]] if said and alone else ["None"] if name == "choice" else ["0", "None"]
        text = scene.text(values)
        figures = [
            n
            for n in ast.walk(scene.function if scene.function is not None else scene.statement)
            if isinstance(n, ast.Call) and n.args and scene.text(n.args[0]) == text
        ]
        if name in ("max", "min") and not any(called_name(n) in _LEAST for n in figures):
            return  # of one alone another template knows
        for rank, value in enumerate(neutral):
            edits = [e for n in figures for e in _told(n, text, value)]
            edits += _rates(scene, text, value)
            yield scene.draft(
                *edits,
                title=f"{value} where `{text}` has no values",
                weight=1.7 - 0.4 * rank,
            )


def _told(figure: ast.Call, text: str, value: str) -> Iterator[Edit]:
    name = called_name(figure)
    if name in ("max", "min"):
        if len(figure.args) == 1 and not any(k.arg == "default" for k in figure.keywords):
            yield add_argument(figure, f"default={value}")
        return
    least = _LEAST.get(name)
    if least is not None:
        asked = text if least == 1 else f"len({text}) > 1"
        yield replace_expression(figure, f"{EXPR} if {asked} else {value}")


def _rates(scene: Scene, text: str, value: str) -> Iterator[Edit]:
    """Divisions by the number of the same values, which would fail next."""
    root: ast.AST = scene.function if scene.function is not None else scene.statement
    for node in ast.walk(root):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.FloorDiv):
            divisor = node.right
            counts = isinstance(divisor, ast.Call) and called_name(divisor) == "len"
            if counts and scene.text(divisor) == f"len({text})":
                yield replace_expression(node, f"{EXPR} if {text} else {value}")
