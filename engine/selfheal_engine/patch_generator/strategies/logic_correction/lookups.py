"""Keys, positions and members that are there, only written or nested in another way."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.asked_forms import asked_form, written_as
from selfheal_engine.diagnosis.origin import called_name, last_assignment
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.edits import (
    EXPR,
    insert_after,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import is_stable
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


class FitKey(Rule):
    """Looks up the key in the form in which the mapping holds it: as text, in lower case."""

    name = "fit_key"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(number=3):
                    names = {'3': 'c', '4': 'd'}
                    return names[number]
                """,
            after="""
                def f(number=3):
                    names = {'3': 'c', '4': 'd'}
                    return names[str(number)]
                """,
        ),
        Example(
            before="""
                def f(code='AT'):
                    rates = {'at': 20, 'de': 19}
                    return rates[code]
                """,
            after="""
                def f(code='AT'):
                    rates = {'at': 20, 'de': 19}
                    return rates[code.lower()]
                """,
        ),
        Example(
            before="""
                SEATS = {n: None for n in range(1, 41)}


                def f(seat='7', name='ann'):
                    if SEATS[seat] is None:
                        SEATS[seat] = name
                """,
            after="""
                SEATS = {n: None for n in range(1, 41)}


                def f(seat='7', name='ann'):
                    if SEATS[int(seat)] is None:
                        SEATS[int(seat)] = name
                """,
        ),
        Example(
            before="""
                def f(code='fr'):
                    rates = {'at': 20, 'de': 19}
                    return rates[code]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "KeyError" or not isinstance(node, ast.Subscript):
            return
        key = node.slice
        if isinstance(key, ast.Constant):
            return
        form = _key_form(scene, node, key)
        if not form:
            return
        text = scene.text(key)
        written = form.format(text if is_stable(key) or form.startswith(("str", "int")) else EXPR)
        yield scene.draft(
            *(replace_expression(use.slice, written) for use in _same_entries(scene, node)),
            title=f"look up `{form.format(text)}`, as the keys are written",
            weight=1.9,
        )


def _same_entries(scene: Scene, node: ast.Subscript) -> list[ast.Subscript]:
    """The failing look-up, and the function's others of the same entry: one form for all."""
    if scene.function is None or not isinstance(node.slice, ast.Name):
        return [node]
    same = ast.unparse(node)
    return [
        n
        for n in ast.walk(scene.function)
        if isinstance(n, ast.Subscript) and ast.unparse(n) == same
    ]


def _key_form(scene: Scene, node: ast.Subscript, key: ast.expr) -> str:
    keys = _keys_of(scene, node.value)
    value = scene.value(key)
    wanted = value.text if value is not None else scene.message
    quoted = scene.message.startswith(("'", '"'))
    if value is None and quoted:
        wanted = scene.message[1:-1]
    is_text = value.type_name == "str" if value is not None else quoted
    if is_text and re.fullmatch(r"-?\d+", wanted) and _numbered(scene, node.value):
        return "int({})"
    # the very key is there and was not found: then the one in the mapping is of another type
    if any(name == wanted and held in (None, not is_text) for name, held in keys):
        return (
            "int({})"
            if is_text and re.fullmatch(r"-?\d+", wanted)
            else ""
            if is_text
            else "str({})"
        )
    texts = [name for name, held in keys if held is not False]
    return written_as(wanted, texts) if is_text else ""


def _keys_of(scene: Scene, container: ast.expr) -> list[tuple[str, bool | None]]:
    """(key, whether it is text, if known) of a captured mapping or one that the module writes."""
    display: ast.expr | None = None
    if isinstance(container, ast.Name):
        found = last_assignment(scene.file, scene.function, container.id, container.lineno)
        if found is not None and found[2] == "value":
            display = found[1]
        else:
            display = scene.conventions.constants(scene.file).get(container.id)
    if isinstance(display, ast.Dict):
        constants = [key for key in display.keys if isinstance(key, ast.Constant)]
        return [(str(k.value), isinstance(k.value, str)) for k in constants]
    value = scene.value(container)
    if value is None or value.type_name not in ("dict", "defaultdict", "OrderedDict"):
        return []
    return [(name, None) for name, _ in value.children]


def _numbered(scene: Scene, container: ast.expr) -> bool:
    """Whether the module makes the mapping with numbers as keys: `{n: x for n in range(9)}`."""
    if not isinstance(container, ast.Name):
        return False
    made = scene.conventions.constants(scene.file).get(container.id)
    if not isinstance(made, ast.DictComp) or len(made.generators) != 1:
        return False
    [each] = made.generators
    counted = isinstance(each.iter, ast.Call) and called_name(each.iter) == "range"
    same = ast.dump(made.key) == ast.dump(ast.Name(getattr(each.target, "id", ""), ast.Load()))
    return counted and same


class FitAskedKey(Rule):
    """Asks for the key in the form of the table's own keys, where `.get` answers with None."""

    name = "fit_asked_key"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                PRICES = {1: 250, 2: 1999}


                def price_of(product):
                    return PRICES.get(product)


                def f(wanted='2'):
                    return price_of(wanted) * 3
                """,
            after="""
                PRICES = {1: 250, 2: 1999}


                def price_of(product):
                    return PRICES.get(int(product))


                def f(wanted='2'):
                    return price_of(wanted) * 3
                """,
        ),
        Example(
            before="""
                RATES = {'at': 20, 'de': 19}


                def f(code='AT'):
                    rate = RATES.get(code)
                    return rate / 100
                """,
            after="""
                RATES = {'at': 20, 'de': 19}


                def f(code='AT'):
                    rate = RATES.get(code.lower())
                    return rate / 100
                """,
        ),
        Example(
            before="""
                PRICES = {1: 250, 2: 1999}


                def f(wanted='7'):
                    return PRICES.get(wanted) * 3
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        asked = asked_form(scene.failure, scene.origin)
        if asked is None:
            return
        written = asked.form.format(asked.file.segment(asked.key))
        yield scene.draft(
            replace_expression(asked.key, written),
            title=f"ask for `{written}`, as the keys are written",
            weight=1.9,
            file=asked.file,
        )


class FitMember(Rule):
    """Finds the enumeration's member for a value in another case, or its member for the unknown."""

    name = "fit_member"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                from enum import Enum


                class State(Enum):
                    OPEN = 'open'
                    DONE = 'done'


                def f(text='Done'):
                    return State(text)
                """,
            after="""
                from enum import Enum


                class State(Enum):
                    OPEN = 'open'
                    DONE = 'done'


                def f(text='Done'):
                    return State(text.lower())
                """,
        ),
        Example(
            before="""
                from enum import Enum


                class Level(Enum):
                    LOW = 'low'
                    UNKNOWN = 'unknown'


                def f(text='urgent'):
                    return Level(text)
                """,
            after="""
                from enum import Enum


                class Level(Enum):
                    LOW = 'low'
                    UNKNOWN = 'unknown'

                    @classmethod
                    def _missing_(cls, value):
                        return cls.UNKNOWN


                def f(text='urgent'):
                    return Level(text)
                """,
        ),
        Example(
            before="""
                from enum import Enum


                class Level(Enum):
                    LOW = 'low'


                def f(text='urgent'):
                    return Level(text)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        by_value = re.match(r"'(.*)' is not a valid (?:[\w.<>]+\.)?(\w+)$", scene.message)
        node = scene.node
        if scene.exception == "KeyError" and isinstance(node, ast.Subscript):
            yield from self._by_name(scene, node)
            return
        if scene.exception != "ValueError" or by_value is None or not isinstance(node, ast.Call):
            return
        text, kind = by_value[1], by_value[2]
        for file, owner in scene.sources.classes_named(kind):
            members = dict(_members(owner))
            form = written_as(text, [v for v in members.values() if isinstance(v, str)])
            if form and node.args:
                written = form.format(scene.text(node.args[0]))
                yield scene.draft(
                    replace_expression(node.args[0], form.format(EXPR)),
                    title=f"`{written}`, as the values are written",
                    weight=1.9,
                )
            unknown = next((name for name in members if name.upper() in _UNKNOWN), "")
            if unknown:
                yield from _missing(scene, file.path, owner, unknown)
            return

    @staticmethod
    def _by_name(scene: Scene, node: ast.Subscript) -> Iterator[Draft]:
        """`State["done"]`: names of members are mostly in capitals."""
        kind = scene.text(node.value).rpartition(".")[2]
        if isinstance(node.slice, ast.Constant):
            return
        for _, owner in scene.sources.classes_named(kind):
            form = written_as(scene.message.strip("'"), list(dict(_members(owner))))
            if form:
                yield scene.draft(
                    replace_expression(node.slice, form.format(EXPR)),
                    title=f"`{form.format(scene.text(node.slice))}`, as the members are named",
                    weight=1.9,
                )
            return


_UNKNOWN = frozenset({"UNKNOWN", "OTHER", "UNDEFINED", "UNSPECIFIED", "DEFAULT", "MISC"})


def _members(owner: ast.ClassDef) -> Iterator[tuple[str, object]]:
    for node in owner.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value.value


def _missing(scene: Scene, path: str, owner: ast.ClassDef, unknown: str) -> Iterator[Draft]:
    if any(isinstance(n, Function) and n.name == "_missing_" for n in owner.body):
        return
    members = [n for n in owner.body if isinstance(n, ast.Assign)]
    code = f"\n@classmethod\ndef _missing_(cls, value):\n    return cls.{unknown}"
    file = scene.sources.get(path)
    yield scene.draft(
        insert_after(members[-1], code),
        title=f"a value that nobody knows is {unknown}",
        weight=1.6,
        file=file,
    )
