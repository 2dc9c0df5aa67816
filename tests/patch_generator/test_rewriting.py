"""Edits change what they name and nothing else, in every layout and encoding a file may have."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal_engine.diagnosis.source_file import SourceFile, Sources
from selfheal_engine.patch_generator.edits import (
    add_argument,
    add_import,
    insert_before,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.imports import place_import
from selfheal_engine.patch_generator.rewriting import RewriteError, apply_edits
from selfheal_engine.patch_generator.writing import (
    candidate_of,
    edited_candidate,
    unified_diff,
    write_candidate,
)
from selfheal_engine.project import Project

TEXT = '''# -*- coding: {encoding} -*-
"""Café."""
import os


class Shop:
    def price(self, item, tax=[]):
        # the total in cents é
        if item: return item.cents  # why

        total = item.price(
            1,
            tax,
        )
        note = """two
  lines"""
        return (total + 1)


def last(a, b): return a.b * b
'''


def source(encoding: str = "utf-8", end: str = "\n", bom: bool = False) -> SourceFile:
    raw = TEXT.format(encoding=encoding).replace("\n", end).encode(encoding)
    return SourceFile("shop.py", b"\xef\xbb\xbf" + raw if bom else raw)


def find(file: SourceFile, text: str) -> ast.expr:
    return next(
        n for n in ast.walk(file.tree) if isinstance(n, ast.expr) and file.segment(n) == text
    )


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [False, True])
def test_only_the_edited_lines_differ_in_every_encoding(encoding: str, end: str, bom: bool) -> None:
    if bom and encoding != "utf-8":
        pytest.skip("a BOM says utf-8")
    file = source(encoding, end, bom)
    statement = file.statement_at(11)
    assert statement is not None
    new = apply_edits(
        file,
        [
            insert_before(statement, "if item is None:\n    return None"),
            replace_expression(find(file, "a.b"), "__expr__ + 1"),
        ],
    )
    old_lines, new_lines = file.content.split(b"\n"), new.split(b"\n")
    guard = [
        f"        if item is None:{end[:-1]}".encode(),
        f"            return None{end[:-1]}".encode(),
    ]
    assert new_lines[10:12] == guard
    del new_lines[10:12]
    changed = [i for i, (a, b) in enumerate(zip(old_lines, new_lines, strict=True)) if a != b]
    assert changed == [19]
    assert b"(a.b + 1) * b" in new_lines[19]


def test_wrapping_keeps_comments_and_multi_line_texts() -> None:
    file = source()
    first, last = file.statement_at(11), file.statement_at(15)
    assert first is not None
    assert last is not None
    text = apply_edits(
        file, [replace_statements([first, last], "with lock:\n    __body__\n")]
    ).decode()
    assert "        with lock:\n            total = item.price(\n                1,\n" in text
    assert '            note = """two\n  lines"""\n' in text
    assert ast.parse(text)


def test_an_argument_is_added_in_the_calls_own_layout() -> None:
    file = source()
    call = next(n for n in ast.walk(file.tree) if isinstance(n, ast.Call) and n.lineno == 11)
    text = apply_edits(file, [add_argument(call, "timeout=5")]).decode()
    assert "            tax,\n            timeout=5,\n        )\n" in text


def test_an_import_goes_where_the_file_has_its_imports() -> None:
    text = "import os\nimport sys\n\nfrom flask import Flask, request\n\nX = 1\n"
    assert place_import(text, "import json").startswith("import json\nimport os\n")
    assert "from flask import Flask, abort, request\n" in place_import(
        text, "from flask import abort"
    )
    assert "\nimport requests\nfrom flask" in place_import(text, "import requests")
    assert place_import(text, "import os") == text


def test_a_file_with_bare_carriage_returns_is_refused_with_a_sentence() -> None:
    file = SourceFile("old.py", b"def f(a):\r    return a\r")
    with pytest.raises(RewriteError, match="carriage returns"):
        apply_edits(file, [add_import("import os")])


def test_a_file_of_twenty_thousand_lines_is_edited_in_one_place_only() -> None:
    filler = "".join(f"def f{i}(a):\n    return a + {i}\n\n\n" for i in range(5000))
    file = SourceFile("big.py", (filler + "def g(a):\n    return a.b\n").encode())
    new = apply_edits(file, [replace_expression(find(file, "a.b"), "a.c")])
    assert new == file.content.replace(b"a.b", b"a.c")


NAMES = st.sampled_from(["a", "b", "value", "rows"])
EXPRESSIONS = st.recursive(
    NAMES | st.integers(0, 99).map(str),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "*", "-", "and", "or", "<", "=="]), inner).map(
            lambda t: f"{t[0]} {t[1]} {t[2]}"
        ),
        inner.map(lambda e: f"({e})"),
        inner.map(lambda e: f"f({e})"),
        inner.map(lambda e: f"not {e}"),
        inner.map(lambda e: f"[{e}]"),
    ),
    max_leaves=6,
)


@settings(max_examples=120, deadline=None)
@given(EXPRESSIONS, EXPRESSIONS, st.data())
def test_what_is_written_means_what_was_searched(
    first: str, second: str, data: st.DataObject
) -> None:
    text = f"X = 1\n\n\ndef f(a, b, value, rows):\n    y = {first}  # note\n    return y\n"
    try:
        file = SourceFile("m.py", text.encode())
        ast.parse(text)
        ast.parse(second)
    except SyntaxError:
        return
    nodes = [
        n
        for n in ast.walk(file.tree)
        if isinstance(n, ast.expr) and n.lineno == 5 and n.col_offset > 4
    ]
    node = data.draw(st.sampled_from(nodes))
    try:
        new = apply_edits(file, [replace_expression(node, second)]).decode()
    except RewriteError:
        return
    lines = new.splitlines()
    assert lines[:4] == text.splitlines()[:4]
    assert lines[5:] == text.splitlines()[5:]
    assert lines[4].endswith("  # note")
    assert ast.parse(new)


def test_a_diff_says_when_the_last_line_has_no_end() -> None:
    diff = unified_diff("a.py", "x = 1", "x = 2")
    assert diff.count("\\ No newline at end of file") == 2
    assert diff.startswith("--- a/a.py\n+++ b/a.py\n")


def test_a_candidate_names_its_functions_hashes_and_files(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_bytes(source().content)
    sources = Sources(Project(tmp_path, sys.executable))
    file = sources.get("shop.py")
    assert file is not None
    made = write_candidate(
        sources,
        [("shop.py", replace_expression(find(file, "a.b"), "a.c"))],
        strategy="logic_correction",
        template="attribute",
        title="other attribute",
    )
    assert made.functions == ("last",)
    assert made.original_hashes == (("shop.py", file.hash),)
    assert dict(made.files)["shop.py"] == file.content.replace(b"a.b", b"a.c")
    edited = edited_candidate(made, {"shop.py": file.content + b"\nX = 1\n"}, sources.project)
    assert edited.origin == "engine (edited)"
    assert edited.id != made.id
    again = edited_candidate(edited, {}, sources.project)
    assert again.origin == "engine (edited)"


def test_symlinks_and_files_outside_the_project_are_no_sources(tmp_path: Path) -> None:
    project = tmp_path / "p"
    project.mkdir()
    (tmp_path / "outside.py").write_text("X = 1\n")
    (project / "link.py").symlink_to(tmp_path / "outside.py")
    sources = Sources(Project(project, sys.executable))
    assert sources.get(str(tmp_path / "outside.py")) is None
    assert sources.get("link.py") is None
    assert sources.paths() == []


def test_a_new_file_has_an_empty_original_hash(tmp_path: Path) -> None:
    sources = Sources(Project(tmp_path, sys.executable))
    made = candidate_of(
        sources, {"new.py": b"X = 1\n"}, strategy="s", template="t", title="a new file"
    )
    assert made.original_hashes == (("new.py", ""),)
    assert "--- /dev/null" in made.diff
