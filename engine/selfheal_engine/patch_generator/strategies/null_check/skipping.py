"""Leaves early or goes on to the next when a value is missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.patch_generator.contracts import promised
from selfheal_engine.patch_generator.edits import (
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import (
    COMPREHENSIONS,
    filtered,
    fit_of_return,
    given_for_nothing,
    guard_site,
    is_part,
    is_stable,
)
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded


class ReturnEarly(Rule):
    """Returns what the function returns elsewhere for "nothing" before the None is used."""

    name = "return_early"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(user=None):
                    city = user.city
                    return city.title()
                """,
            after="""
                def f(user=None):
                    if user is None:
                        return ""
                    city = user.city
                    return city.title()
                """,
        ),
        Example(
            before="""
                def f(user=None):
                    if not user:
                        pass
                    return [user.city]
                """,
            after="""
                def f(user=None):
                    if not user:
                        pass
                    if user is None:
                        return []
                    return [user.city]
                """,
        ),
        # as a sibling says it of the same thing
        Example(
            before="""
                LAST = {'new': None}


                def highest(room):
                    if room not in LAST:
                        return None
                    return 3


                def latest(room):
                    return round(LAST[room], 1)


                def f():
                    return latest('new')
                """,
            after="""
                LAST = {'new': None}


                def highest(room):
                    if room not in LAST:
                        return None
                    return 3


                def latest(room):
                    if LAST[room] is None:
                        return None
                    return round(LAST[room], 1)


                def f():
                    return latest('new')
                """,
        ),
        Example(
            before="""
                def f(user=3):
                    return user.city
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None or scene.function is None:
            return
        if scene.conventions.is_handler(scene.file, scene.function):
            return
        site = guard_site(scene, culprit)
        if site is None:
            return
        absent = site.when(f"{site.name} is None")
        values = given_for_nothing(scene, scene.function, site.anchor)
        said = promised(scene.function, next((v for v in values if v), ""))
        # a caller that copes with None is found out by replaying it; else it is no answer
        alike = scene.conventions.given_by_siblings(scene.file, scene.function)[:1]
        values = list(dict.fromkeys([*alike, *values])) if not said else values
        unknown = not values and scene.function.returns is None
        for rank, value in enumerate(values[:3] or (["None"] if unknown else [])):
            exit_ = f"return {value}".rstrip()
            weight = 1.6 if value in said else 0.45 if unknown else 1.0 - 0.2 * rank
            weight = 1.4 if value in alike and value not in said else weight
            if is_part(scene.file, culprit) and value not in said:
                weight *= 0.5  # the other parts of the text or list would be lost with it
            weight *= fit_of_return(scene.file, site.anchor)
            yield scene.draft(
                replace_statements([site.anchor], site.before(f"if {absent}:\n    {exit_}")),
                *site.edits,
                title=f"return {value or 'early'} when `{site.name}` is None",
                weight=weight,
                explanation=f"`{site.name}` can be None; the function then has nothing to give.",
            )


class SkipInLoop(Rule):
    """Leaves out the loop's items that are None or lead to one."""

    name = "skip_in_loop"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class R:
                    tag = None


                def f():
                    out = []
                    for row in [R()]:
                        out.append(row.tag.upper())
                    return out
                """,
            after="""
                class R:
                    tag = None


                def f():
                    out = []
                    for row in [R()]:
                        if row.tag is None:
                            continue
                        out.append(row.tag.upper())
                    return out
                """,
        ),
        Example(
            before="""
                def f():
                    return [row.strip() for row in ['a ', None]]
                """,
            after="""
                def f():
                    return [row.strip() for row in ['a ', None] if row is not None]
                """,
        ),
        Example(
            before="""
                def f(row=None):
                    return row.strip()
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None:
            return
        site = guard_site(scene, culprit)
        if site is not None and site.loop:
            absent = site.when(f"{site.name} is None")
            yield scene.draft(
                replace_statements([site.anchor], site.before(f"if {absent}:\n    continue")),
                *site.edits,
                title=f"skip items whose `{site.name}` is None",
                weight=1.2,
            )
        for outer in scene.file.ancestors(culprit):
            if isinstance(outer, COMPREHENSIONS):
                text, last = scene.text(culprit), outer.generators[-1]
                asked = next((i for i in last.ifs if culprit in set(ast.walk(i))), None)
                if asked is not None:
                    edit = replace_expression(asked, f"{text} is not None and __expr__")
                else:
                    edit = filtered(scene.file, outer, f"{text} is not None")
                yield scene.draft(
                    edit,
                    title=f"leave out items whose `{text}` is None",
                    weight=1.1 if is_stable(culprit) else 0.6,
                )
                return
