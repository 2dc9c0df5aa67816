"""What another function of the project reads in a more tolerant way, read with it here too."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, parameters
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.edits import Edit, add_import, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_READS = frozenset({"int", "float", "Decimal", "strptime", "fromisoformat", "loads", "UUID"})
"""What turns text into a value and raises where the text is written otherwise."""
_FAULTS = ("ValueError", "InvalidOperation", "JSONDecodeError", "TypeError")


class ReadAsElsewhere(Rule):
    """Reads the text with the project's own function for it, which takes more forms."""

    name = "read_as_elsewhere"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def amount(text):
                    return int(text.replace(',', '').strip() or 0)


                def f(row={'count': '1,200'}):
                    return int(row['count']) + 1
                """,
            after="""
                def amount(text):
                    return int(text.replace(',', '').strip() or 0)


                def f(row={'count': '1,200'}):
                    return amount(row['count']) + 1
                """,
        ),
        Example(
            before="""
                from datetime import datetime

                FORMATS = ('%Y-%m-%d', '%d.%m.%Y')


                def parse_day(text):
                    for form in FORMATS:
                        try:
                            return datetime.strptime(text, form)
                        except ValueError:
                            continue
                    raise ValueError(text)


                def f(row={'due': '2.1.2024'}):
                    return datetime.strptime(row['due'], '%Y-%m-%d')
                """,
            after="""
                from datetime import datetime

                FORMATS = ('%Y-%m-%d', '%d.%m.%Y')


                def parse_day(text):
                    for form in FORMATS:
                        try:
                            return datetime.strptime(text, form)
                        except ValueError:
                            continue
                    raise ValueError(text)


                def f(row={'due': '2.1.2024'}):
                    return parse_day(row['due'])
                """,
        ),
        Example(
            before="""
                def twice(text):
                    return int(text) * 2


                def f(row={'count': '1,200'}):
                    return int(row['count']) + 1
                """,
        ),
        Example(
            before="""
                def amount(text, base):
                    return int(text.strip() or 0, base)


                def f(row={'count': ''}):
                    return int(row['count'])
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception not in _FAULTS or scene.failure.is_none or scene.depth:
            return
        if not isinstance(node, ast.Call) or called_name(node) not in _READS or not node.args:
            return
        text = scene.text(node.args[0])
        for file, reader in _readers(scene, called_name(node)):
            imports = _imports(scene.file, file, reader)
            if imports is not None:
                yield scene.draft(
                    replace_expression(node, f"{reader.name}({text})"),
                    *imports,
                    title=f"read it with `{reader.name}`, as elsewhere",
                    weight=1.9,
                )


def _readers(scene: Scene, name: str) -> Iterator[tuple[SourceFile, Function]]:
    """The project's plain functions of one text that end in the same kind of reading."""
    others = [file for file in scene.sources.all() if file is not scene.file]
    for file in [scene.file, *others]:
        for function in file.tree.body if not is_test(file.path) else ():
            given = parameters(function) if isinstance(function, ast.FunctionDef) else []
            if not isinstance(function, ast.FunctionDef) or function is scene.function:
                continue
            required = len(given) - len(function.args.defaults)
            if given and required == 1 and _reads_more(function, given[0], name):
                yield file, function


def _reads_more(function: ast.FunctionDef, given: str, name: str) -> bool:
    """Whether it returns what it reads from its argument, and takes care with it."""
    returned = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value]
    reads = [c for c in returned if isinstance(c, ast.Call) and called_name(c) == name and c.args]
    if not reads:
        return False
    careful = any(isinstance(n, ast.Try) for n in ast.walk(function))
    for read in reads:
        used = {n.id for n in ast.walk(read.args[0]) if isinstance(n, ast.Name)}
        careful = careful or (given in used and not isinstance(read.args[0], ast.Name))
    return careful or len(function.body) > 2


def _imports(here: SourceFile, there: SourceFile, reader: Function) -> list[Edit] | None:
    """What makes the function's name known; None where it stands for something else."""
    if here is there:
        return []
    module = there.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    for node in here.tree.body:
        if isinstance(node, ast.ImportFrom) and any(a.name == reader.name for a in node.names):
            return []
        if isinstance(node, ast.ImportFrom) and node.module and module.endswith(node.module):
            return [add_import(f"from {node.module} import {reader.name}")]
    return None
