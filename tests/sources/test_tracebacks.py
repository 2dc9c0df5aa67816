"""Whatever Python prints of an exception is read back as it was, from any log around it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal_engine.project import Project
from selfheal_engine.sources.printed import occurrence_of
from selfheal_engine.sources.traceback_format import ParsedTraceback
from selfheal_engine.sources.tracebacks import TracebackParser, read_text

PYTHONS = sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin/python"))
PYTHONS = [p for p in PYTHONS if int(p.parts[-3].split(".")[1]) >= 9] or [Path(sys.executable)]

TYPES = [ValueError, KeyError, OSError, ZeroDivisionError, json.JSONDecodeError, UnicodeError]
WORDS = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=40)
MESSAGES = st.lists(WORDS.map(lambda text: f"the {text}".strip()), min_size=1, max_size=4).map(
    "\n".join
)


def raised(kind: type[BaseException], message: str, depth: int) -> BaseException:
    """A real exception out of `depth` nested calls."""

    def deeper(left: int) -> None:
        if left:
            deeper(left - 1)
        raise made

    made = kind(message, "", 0) if kind is json.JSONDecodeError else kind(message)
    try:
        deeper(depth)
    except BaseException as caught:  # noqa: BLE001 - whatever it is, it is what is wanted
        return caught
    raise AssertionError


def printed(exc: BaseException) -> str:
    return "".join(traceback.format_exception(exc))


def name_of(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


def places(tb: TracebackType | None) -> list[tuple[str, int, str]]:
    return [(f.filename, f.lineno or 0, f.name) for f in traceback.extract_tb(tb)]


def places_of(parsed: ParsedTraceback) -> list[tuple[str, int, str]]:
    return [(frame.file, frame.line, frame.function) for frame in parsed.frames]


def assert_same(parsed: ParsedTraceback, exc: BaseException) -> None:
    assert parsed.exception == name_of(type(exc))
    assert parsed.message == str(exc)
    assert places_of(parsed) == places(exc.__traceback__)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(TYPES), MESSAGES, st.integers(0, 6))
def test_what_the_traceback_module_prints_is_read_back(
    kind: type[BaseException], message: str, depth: int
) -> None:
    exc = raised(kind, message, depth)
    (parsed,) = read_text(printed(exc))
    # of lines that are repeated more than three times only the number is printed
    assert parsed.exception == name_of(kind)
    assert parsed.message == str(exc)
    assert places_of(parsed)[-1] == places(exc.__traceback__)[-1]
    if depth < 3:
        assert_same(parsed, exc)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TYPES), MESSAGES, st.booleans()), max_size=5))
def test_chains_are_read_back_nearest_first(links: list[tuple[type, str, bool]]) -> None:
    exc = raised(TypeError, "the last", 0)
    current = exc
    for kind, message, is_cause in links:
        link = raised(kind, message, 1)
        if is_cause:
            current.__cause__ = link
        else:
            current.__context__ = link
        current = link
    (parsed,) = read_text(printed(exc))
    assert_same(parsed, exc)
    assert len(parsed.chain) == len(links)
    for link_, (kind, _, _) in zip(parsed.chain, links, strict=True):
        assert link_.exception == name_of(kind)
        assert link_.frames[-1].function == "deeper"


GROUPS = st.recursive(
    st.tuples(st.sampled_from(TYPES), WORDS.map(lambda text: f"the {text}".strip())),
    lambda inner: st.lists(inner, min_size=1, max_size=3),
    max_leaves=6,
)


def group_of(tree: object) -> BaseException:
    if isinstance(tree, list):
        return BaseExceptionGroup("several", [group_of(item) for item in tree])
    assert isinstance(tree, tuple)
    return raised(tree[0], tree[1], 1)


def assert_same_tree(parsed: ParsedTraceback, exc: BaseException) -> None:
    assert parsed.exception == name_of(type(exc))
    assert parsed.message == str(exc)
    members = exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()
    assert len(parsed.members) == len(members)
    for member, real in zip(parsed.members, members, strict=True):
        assert_same_tree(member, real)


@settings(max_examples=60, deadline=None)
@given(st.lists(GROUPS, min_size=1, max_size=3))
def test_groups_are_read_back_as_trees(tree: list[object]) -> None:
    exc = group_of(tree)
    try:
        raise exc
    except BaseException as caught:  # noqa: BLE001 - groups of every kind
        (parsed,) = read_text(printed(caught))
    assert_same_tree(parsed, exc)


def test_a_group_with_chains_inside_and_around_keeps_every_link() -> None:
    inner = raised(KeyError, "inner", 0)
    inner.__cause__ = raised(OSError, "cause", 1)
    last = raised(ValueError, "last", 0)
    try:
        raise BaseExceptionGroup("group", [inner, raised(TypeError, "other", 0)])
    except BaseExceptionGroup as group_:
        last.__context__ = group_
    (parsed,) = read_text(printed(last))
    (group,) = parsed.chain
    assert [member.exception for member in group.members] == ["KeyError", "TypeError"]
    assert [link.exception for link in group.members[0].chain] == ["OSError"]


# ------------------------------------------------------------ prefixes and interleaving
STAMPS: dict[str, Callable[[int, int], str]] = {
    "syslog": lambda n, pid: f"Nov {n % 30 + 1:2d} 03:38:{n % 60:02d} web1 shop[{pid}]: ",
    "journald": lambda n, pid: f"2026-11-23T03:38:{n % 60:02d}.{n:06d}+0100 web1 shop[{pid}]: ",
    "container": lambda n, pid: f"web_{pid}  | ",
    "logging": lambda n, pid: f"2026-11-23 03:38:{n % 60:02d},{n % 1000:03d} [{pid}] ERROR shop: ",
}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(STAMPS)),
    st.lists(MESSAGES, min_size=2, max_size=3),
    st.lists(st.integers(0, 2), max_size=60),
)
def test_processes_that_write_at_once_are_told_apart_by_their_prefix(
    stamp: str, messages: list[str], order: list[int]
) -> None:
    raised_ = [raised(ValueError, message, 1) for message in messages]
    queues = [printed(exc).splitlines() for exc in raised_]
    parser = TracebackParser()
    found = []
    turns = [turn % len(queues) for turn in order]
    number = 0
    while any(queues):
        turn = turns.pop() if turns else next(i for i, lines in enumerate(queues) if lines)
        if queues[turn]:
            line = STAMPS[stamp](number, 100 + turn) + queues[turn].pop(0)
            number += 1
            found += parser.feed(line)
            found += parser.feed(STAMPS[stamp](number, 99) + "GET / 200")
    found += parser.flush()
    assert len(found) == len(messages)
    by_message = {parsed.message: parsed for parsed in found}
    for exc in raised_:
        assert_same(by_message[str(exc)], exc)
    if stamp != "container":
        assert {parsed.pid for parsed in found} == {100 + i for i in range(len(messages))}


def test_a_prefix_on_the_first_line_only_is_a_prefix_of_that_line() -> None:
    exc = raised(ValueError, "bad", 1)
    text = "2026-11-23 03:38:10,100 ERROR shop " + printed(exc)
    (parsed,) = read_text(text + "2026-11-23 03:38:10,200 INFO shop all well\n")
    assert_same(parsed, exc)


def test_lines_of_others_within_a_traceback_do_not_break_it() -> None:
    exc = raised(ValueError, "bad", 2)
    lines = printed(exc).splitlines()
    lines.insert(3, '127.0.0.1 - - [23/Nov/2026 03:38:10] "GET / HTTP/1.1" 200 -')
    lines.insert(6, "INFO:     10.0.0.1:5000 - GET /")
    (parsed,) = read_text("\n".join(lines))
    assert_same(parsed, exc)


def test_the_next_log_record_is_no_part_of_the_message() -> None:
    exc = raised(ValueError, "two\nlines", 0)
    for after in (
        "[2026-11-23 03:38:10 +0000] [7] [INFO] Worker exiting",
        "INFO:root:fine",
        "10.0.0.1 - - [23/Nov/2026:03:38:10 +0000] GET",
        '{"level": "info", "message": "fine"}',
        "2026-11-23T03:38:10Z fine",
    ):
        (parsed,) = read_text(printed(exc) + after + "\n")
        assert parsed.message == "two\nlines"


def test_colours_are_no_part_of_a_traceback() -> None:
    exc = raised(ValueError, "bad", 1)
    coloured = "\n".join(
        f"\x1b[35m{line[:6]}\x1b[0m{line[6:]}\x1b[1;31m\x1b[0m" for line in printed(exc).split("\n")
    )
    (parsed,) = read_text(coloured)
    assert_same(parsed, exc)


@pytest.mark.parametrize("how", ["json", "rsyslog", "logfmt"])
def test_a_traceback_in_one_line_is_read(how: str) -> None:
    exc = raised(ValueError, "bad", 1)
    text = printed(exc)
    line = {
        "json": json.dumps({"level": "error", "exc": {"info": ["x", text]}}),
        "rsyslog": "Nov 23 03:38:10 web shop[7]: " + text.replace("\n", "#012"),
        "logfmt": "level=error exc=" + '"' + text.replace("\n", "\\n").split('"')[0],
    }[how]
    found = TracebackParser().feed(line)
    if how != "logfmt":
        assert_same(found[0], exc)


def test_the_thread_that_ended_is_named() -> None:
    exc = raised(ValueError, "bad", 0)
    (parsed,) = read_text("Exception in thread mailer (send):\n" + printed(exc))
    assert parsed.thread == "mailer"


def test_a_cause_that_was_never_raised_is_part_of_the_chain() -> None:
    exc = raised(ValueError, "bad", 0)
    exc.__cause__ = KeyError("made up")
    (parsed,) = read_text("serving\n" + printed(exc))
    assert_same(parsed, exc)
    assert [(link.exception, link.message) for link in parsed.chain] == [("KeyError", "'made up'")]


def test_a_traceback_that_breaks_off_is_counted_and_harms_no_other() -> None:
    exc = raised(ValueError, "bad", 0)
    parser = TracebackParser()
    found = []
    for line in ["Traceback (most recent call last):", *printed(exc).splitlines()]:
        found += parser.feed(line)
    found += parser.flush()
    assert [parsed.exception for parsed in found] == ["ValueError"]
    assert parser.broken == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=60), st.sampled_from(
    ["Traceback (most recent call last):", '  File "a.py", line 3, in f', "    x()", "    ^^^",
     "ValueError: x", "", "  + Exception Group Traceback (most recent call last):", "  | X: y",
     "  +-+---------------- 1 ----------------", "    +------------------------------------",
     "During handling of the above exception, another exception occurred:"]
)), max_size=40))  # fmt: skip
def test_no_text_whatever_makes_the_parser_fail(lines: list[str]) -> None:
    read_text("\n".join(lines))


def test_lines_that_only_look_like_a_prefix_cost_no_more_than_others() -> None:
    parser = TracebackParser()
    assert parser.feed("1" * 200_000 + "Traceback (most recent call last):") == []
    exc = raised(ValueError, "bad", 0)
    (parsed,) = [found for line in printed(exc).splitlines() for found in parser.feed(line)] or (
        parser.flush()
    )
    assert_same(parsed, exc)


# ------------------------------------------------------------ what each interpreter prints
PROGRAM = """
    import sys, threading

    class Cart:
        def total(self, order):
            return len(order["address"]
                       ["zip"])

    class Odd(Exception):
        pass

    def price(number):
        try:
            return Cart().total({"address": None})
        except TypeError as why:
            raise Odd("no price\\nfor %d" % number) from why

    def main():
        [price(n) for n in (7,)]

    main()
"""


@pytest.mark.parametrize("python", PYTHONS, ids=lambda p: p.parts[-3])
def test_each_interpreters_own_print_is_read(python: Path, tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text(textwrap.dedent(PROGRAM).lstrip(), encoding="utf-8")
    done = subprocess.run([str(python), str(file)], capture_output=True, text=True, check=False)
    (parsed,) = read_text(done.stderr)
    assert parsed.message == "no price\nfor 7"
    (cause,) = parsed.chain
    assert cause.exception == "TypeError"
    occurrence = occurrence_of(parsed, Project(tmp_path, str(python)), 42, "log")
    assert occurrence is not None
    assert occurrence.exception == "__main__.Odd"
    assert (occurrence.caught_by, occurrence.pid, occurrence.kind) == ("log", 42, "exception")
    crash = occurrence.chain[0].crash
    assert crash is not None
    assert crash.own
    assert (crash.function, crash.line, crash.first_line) == ("Cart.total", 5, 4)
    assert crash.module == "app"
    text = file.read_text(encoding="utf-8").splitlines()[crash.line - 1]
    assert crash.source_line == text.strip()
    if crash.column is not None:
        assert text[crash.column :].startswith('order["address"]')


@pytest.mark.parametrize("python", PYTHONS, ids=lambda p: p.parts[-3])
@pytest.mark.parametrize("how", ["main", "import"])
def test_a_file_that_does_not_compile_is_told_with_its_line(
    python: Path, how: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("x = 1\ny = = 2\n", encoding="utf-8")
    argv = [str(tmp_path / "broken.py")] if how == "main" else ["-c", "import broken"]
    done = subprocess.run(
        [str(python), *argv], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    (parsed,) = read_text(done.stderr)
    occurrence = occurrence_of(parsed, Project(tmp_path, str(python)), 1, "log")
    assert occurrence is not None
    assert occurrence.kind == "syntax"
    assert occurrence.frames[-1].file == str(tmp_path / "broken.py")
    assert (occurrence.frames[-1].line, occurrence.frames[-1].column) == (2, 4)


def test_columns_are_those_of_the_real_line(tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text("def f(a):\n    return a['x'] + a['y']\n\nf({'x': 1})\n", encoding="utf-8")
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False)
    (parsed,) = read_text(done.stderr)
    occurrence = occurrence_of(parsed, Project(tmp_path, sys.executable), 1, "log")
    assert occurrence is not None
    crash = occurrence.frames[-1]
    assert "    return a['x'] + a['y']"[crash.column : crash.end_column] == "a['y']"


def test_secrets_in_a_message_are_scrubbed(tmp_path: Path) -> None:
    exc = raised(ValueError, "login with password=hunter22 failed", 0)
    (parsed,) = read_text(printed(exc))
    occurrence = occurrence_of(parsed, Project(tmp_path, sys.executable), 1, "log")
    assert occurrence is not None
    assert "hunter22" not in occurrence.message
