"""Folders that are not there yet when something is written into them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.edits import (
    add_argument,
    add_import,
    insert_before,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, is_stable
from selfheal_engine.patch_generator.strategies.error_handling.wrapping import STRATEGY


class MakeFolder(Rule):
    """Makes the folder that a file is written into, where it is not there yet."""

    name = "make_folder"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import os


                def f(root='/tmp/selfheal-no-such-folder', name='a.txt'):
                    path = os.path.join(root, 'x', name)
                    with open(path, 'w') as out:
                        out.write('a')
                """,
            after="""
                import os


                def f(root='/tmp/selfheal-no-such-folder', name='a.txt'):
                    path = os.path.join(root, 'x', name)
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    with open(path, 'w') as out:
                        out.write('a')
                """,
        ),
        Example(
            before="""
                from pathlib import Path


                def f(root=Path('/tmp/selfheal-no-such-folder')):
                    target = root / 'x' / 'a.txt'
                    target.write_text('a')
                """,
            after="""
                from pathlib import Path


                def f(root=Path('/tmp/selfheal-no-such-folder')):
                    target = root / 'x' / 'a.txt'
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text('a')
                """,
        ),
        Example(
            before="""
                import os


                def f(folder='/tmp/selfheal-no-such-folder/x'):
                    os.mkdir(folder)
                """,
            after="""
                import os


                def f(folder='/tmp/selfheal-no-such-folder/x'):
                    os.makedirs(folder, exist_ok=True)
                """,
        ),
        Example(
            before="""
                def f(path='/tmp/selfheal-no-such-file'):
                    with open(path) as source:
                        return source.read()
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "FileNotFoundError" or not isinstance(node, ast.Call):
            return
        name = called_name(node)
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if name == "mkdir" and owner is not None:
            yield from self._deeper(scene, node, scene.text(owner) == "os")
            return
        anchor = anchor_of(scene.file, scene.statement)
        written = _written(scene, node, owner)
        if written is None or anchor is None:
            return
        folder, is_path = written
        code, imports = f"os.makedirs({folder}, exist_ok=True)", [add_import("import os")]
        if is_path:
            code, imports = f"{folder}.mkdir(parents=True, exist_ok=True)", []
        yield scene.draft(
            insert_before(anchor, code),
            *imports,
            title="make the folder where it is not there yet",
            weight=1.9,
        )

    @staticmethod
    def _deeper(scene: Scene, node: ast.Call, of_os: bool) -> Iterator[Draft]:
        """A folder in a folder that is not there either."""
        if of_os:
            arguments = ", ".join(scene.text(a) for a in (*node.args, *node.keywords))
            edit = replace_expression(node, f"os.makedirs({arguments}, exist_ok=True)")
        else:
            edit = add_argument(node, "parents=True")
        yield scene.draft(edit, title="make the folders above it as well", weight=1.9)


def _written(scene: Scene, node: ast.Call, owner: ast.expr | None) -> tuple[str, bool] | None:
    """(the folder of the file that is written, whether it is a `Path`); None for reading."""
    name = called_name(node)
    if name in ("write_text", "write_bytes", "touch") and owner is not None:
        return _folder_of(scene, owner, True)
    if name in ("copy", "copyfile", "copy2", "move", "rename", "replace") and len(node.args) == 2:
        target = node.args[1]
        value = scene.value(target)
        is_path = value is not None and value.type_name.endswith("Path")
        return _folder_of(scene, target, is_path)
    if name != "open":
        return None
    of_path = owner is not None and scene.text(owner) not in ("io", "codecs", "gzip", "bz2")
    mode = node.args[0 if of_path else 1 :][:1] or [
        k.value for k in node.keywords if k.arg == "mode"
    ]
    writes = mode and isinstance(mode[0], ast.Constant) and str(mode[0].value)[:1] in "wax"
    if not writes:
        return None
    target = owner if of_path and owner is not None else node.args[0]
    value = scene.value(target)
    is_path = of_path or (value is not None and value.type_name.endswith("Path"))
    return _folder_of(scene, target, is_path)


def _folder_of(scene: Scene, path: ast.expr, is_path: bool) -> tuple[str, bool] | None:
    """The folder in which a path stands, as the code can say it."""
    if is_stable(path):
        text = scene.text(path)
        return (f"{text}.parent", True) if is_path else (f"os.path.dirname({text})", False)
    if isinstance(path, ast.BinOp) and isinstance(path.op, ast.Div):
        inner = scene.text(path.left)
        return (inner if is_stable(path.left) else f"({inner})", True)
    if isinstance(path, ast.Call) and called_name(path) == "join" and len(path.args) > 1:
        before = [scene.text(a) for a in path.args[:-1]]
        func = scene.text(path.func)
        return (before[0] if len(before) == 1 else f"{func}({', '.join(before)})", False)
    return None
