"""A patch as rows: complete files, context, pairs, side by side."""

from __future__ import annotations

import difflib
import random

from hypothesis import given
from hypothesis import strategies as st

from selfheal_widgets.diff_model import hunk_starts, parse, split, unified, word_changes
from selfheal_widgets.highlight import lex

OLD = "".join(f"value_{n} = {n}\n" for n in range(40))
NEW = OLD.replace("value_9 = 9\n", "value_9 = 99\nextra = 1\n").replace("value_30 = 30\n", "")


def _diff(old: str, new: str, context: int = 3) -> str:
    lines = difflib.unified_diff(
        old.splitlines(True), new.splitlines(True), "a/pkg/mod.py", "b/pkg/mod.py", n=context
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def test_the_whole_file_is_known_from_the_diff_and_the_new_text() -> None:
    (change,) = parse(_diff(OLD, NEW), {"pkg/mod.py": NEW.encode()})
    assert change.complete
    assert [row.text for row in change.rows if row.new] == NEW.splitlines()
    assert [row.text for row in change.rows if row.old] == OLD.splitlines()
    assert (change.added, change.removed) == (2, 2)


def test_without_the_new_text_the_hunks_are_shown_as_they_are() -> None:
    (change,) = parse(_diff(OLD, NEW))
    assert not change.complete
    assert [row.new for row in change.rows if row.kind == "added"] == [10, 11]


def test_a_new_text_that_does_not_fit_the_diff_is_not_trusted() -> None:
    (change,) = parse(_diff(OLD, NEW), {"pkg/mod.py": b"something else\n"})
    assert not change.complete


def test_context_grows_until_the_file_is_whole() -> None:
    changes = parse(_diff(OLD, NEW), {"pkg/mod.py": NEW.encode()})
    few, many = unified(changes, 1), unified(changes, 1000)
    assert len(hunk_starts(few)) == len(hunk_starts(many)) == 2
    assert [row.text for row in many if row.new] == NEW.splitlines()
    assert sum(row.kind == "hunk" for row in few) == 2


def test_new_files_and_deleted_files_are_read() -> None:
    created = "--- /dev/null\n+++ b/tests/test_new.py\n@@ -0,0 +1,2 @@\n+one\n+two\n"
    (change,) = parse(created, {"tests/test_new.py": b"one\ntwo\n"})
    assert (change.path, change.added, change.complete) == ("tests/test_new.py", 2, True)
    gone = "--- a/old.py\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-one\n"
    assert parse(gone)[0].path == "old.py"


def test_lines_that_look_like_headers_are_content_inside_a_hunk() -> None:
    old, new = "-- a\nx\n", "++ b\nx\n"
    (change,) = parse(_diff(old, new), {"pkg/mod.py": new.encode()})
    assert [row.text for row in change.rows] == ["-- a", "++ b", "x"]


def test_a_changed_line_faces_its_successor() -> None:
    changes = parse(_diff(OLD, NEW), {"pkg/mod.py": NEW.encode()})
    pairs = [
        (row.left.text if row.left else None, row.right.text if row.right else None)
        for row in split(unified(changes, 0))
        if row.left is not row.right
    ]
    assert pairs == [
        ("value_9 = 9", "value_9 = 99"),
        (None, "extra = 1"),
        ("value_30 = 30", None),
    ]


def test_only_the_words_that_changed_are_marked() -> None:
    olds, news = word_changes("total = price * count", "total = price * amount")
    assert [("total = price * count"[a:b]) for a, b in olds] == ["count"]
    assert [("total = price * amount"[a:b]) for a, b in news] == ["amount"]
    assert word_changes("a + b", "def other(self):") == ((), ())


@given(st.integers(0, 10_000))
def test_any_edit_of_any_file_is_reconstructed(seed: int) -> None:
    rand = random.Random(seed)
    old = [rand.choice(["a", "b", "", "    c", "--- d", "+++ e", "@@ f"]) for _ in range(30)]
    new = [line for line in old if rand.random() > 0.2]
    for _ in range(rand.randrange(5)):
        new.insert(rand.randrange(len(new) + 1), "new")
    before, after = "".join(f"{x}\n" for x in old), "".join(f"{x}\n" for x in new)
    diff = _diff(before, after, rand.randrange(4))
    for change in parse(diff, {"pkg/mod.py": after.encode()}):
        assert change.complete
        assert [row.text for row in change.rows if row.new] == new
        assert [row.text for row in change.rows if row.old] == old


def test_code_is_lexed_line_by_line_also_over_long_strings() -> None:
    spans = lex('def f():\n    """one\n    two"""\n    return None\n')
    assert (0, 3, "syntax-keyword") in spans[0]
    assert spans[1][-1][2] == spans[2][0][2] == "syntax-string"
    assert any(role == "syntax-keyword" for _, _, role in spans[3])


def test_a_file_of_no_known_language_has_no_colours() -> None:
    assert lex("x", "unknown.zzz") == []
