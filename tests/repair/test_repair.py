"""Repair of a checkout: finds the small edit, keeps the other tests, says when there is none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from selfheal_engine.config import Settings
from selfheal_engine.errors import PatchConflictError, SelfhealError
from selfheal_engine.repair.losses import losses
from selfheal_engine.repair.repairing import apply_first, project_of, repair_project
from selfheal_engine.repair.trials import command_words, runner_of
from selfheal_tui.commands.repair import repair

pytestmark = pytest.mark.e2e
COMMAND = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")
MODULE = """def total(amounts, least=0):
    # what is above the least
    found = 0
    for amount in amounts:
        if amount > least:
            found -= amount
    return found
"""
TESTS = """from shop import total


def test_nothing():
    assert total([]) == 0


def test_one():
    assert total([3]) == 3


def test_several():
    assert total([1, 2, -5]) == 3
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(MODULE)
    (tmp_path / "test_shop.py").write_text(TESTS)
    return tmp_path


def quiet(text: str) -> None:
    assert text


def test_the_wrong_operator_is_found_and_nothing_else_changes(checkout: Path) -> None:
    report = repair_project(checkout, COMMAND, (), Settings(search_s=30), quiet)
    assert report.failing == ("test_shop.py::test_one", "test_shop.py::test_several")
    assert report.passing == 1
    first = report.candidates[0]
    assert dict(first.files)["shop.py"].decode() == MODULE.replace("-=", "+=")
    assert report.suspects[0].file == "shop.py"
    assert (checkout / "shop.py").read_text() == MODULE, "nothing is written without --apply"
    apply_first(checkout, report)
    assert (checkout / "shop.py").read_text() == MODULE.replace("-=", "+=")
    with pytest.raises(PatchConflictError):
        apply_first(checkout, report)


def test_the_command_prints_json_and_says_by_its_exit_code(checkout: Path) -> None:
    words = ["--project", str(checkout), "--tests", " ".join(COMMAND), "--json"]
    run = CliRunner().invoke(repair, words, obj=None)
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout)
    assert report["candidates"][0]["diff"].startswith("--- a/shop.py")
    assert report["verdicts"][0]["plausible"] is True


def test_tests_that_ask_for_the_impossible_get_no_patch(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def name():\n    return 'a'\n")
    (tmp_path / "test_shop.py").write_text(
        "from shop import name\n\n\ndef test_name():\n    assert name() == name() + 'b'\n"
    )
    report = repair_project(tmp_path, COMMAND, (), Settings(search_s=10), quiet)
    assert report.candidates == ()
    assert report.suspects


def test_without_a_failing_test_there_is_nothing_to_repair(tmp_path: Path) -> None:
    (tmp_path / "test_ok.py").write_text("def test_ok():\n    assert True\n")
    with pytest.raises(SelfhealError, match="no test fails"):
        repair_project(tmp_path, COMMAND, (), Settings(), quiet)


def test_without_tests_the_person_is_told_what_to_check(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(MODULE)
    with pytest.raises(SelfhealError, match="cannot be collected"):
        repair_project(tmp_path, COMMAND, (), Settings(), quiet)


def test_a_test_that_never_ends_costs_its_limit_only(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "def count(n):\n    done = 0\n    while done < n:\n        done -= 1\n    return done\n"
    )
    (tmp_path / "test_shop.py").write_text(
        "from shop import count\n\n\ndef test_none():\n    assert count(0) == 0\n\n\n"
        "def test_two():\n    assert count(2) == 2\n"
    )
    settings = Settings(search_s=30)
    report = repair_project(tmp_path, COMMAND, (), settings, quiet)
    assert "done += 1" in report.candidates[0].diff


def test_a_folder_that_is_none_and_a_foreign_runner_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SelfhealError, match="no folder"):
        project_of(tmp_path / "missing", COMMAND)
    with pytest.raises(SelfhealError, match="one by one"):
        runner_of(project_of(tmp_path, ("make", "check")), Settings())


def test_an_edit_that_leaves_a_name_without_use_loses_something() -> None:
    before = "def f(a, b):\n    return [g(x, b) for x in a]\n"
    assert losses(before, before) == []
    assert losses(before, "def f(a, b):\n    return [g(x, x) for x in a]\n") == [
        "`b` is no longer used"
    ]
    recursive = "def f(n):\n    return n and f(n - 1)\n"
    assert losses(recursive, "def f(n):\n    return n and (n - 1)\n") == [
        "`f` no longer calls itself"
    ]


def test_a_module_that_does_not_parse_is_repaired_and_its_tests_run(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def total(amounts)\n    return sum(amounts)\n")
    (tmp_path / "test_shop.py").write_text(
        "from shop import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
    )
    report = repair_project(tmp_path, COMMAND, (), Settings(search_s=20), quiet)
    assert report.failing == ("test_shop.py",)
    assert "+def total(amounts):" in report.candidates[0].diff


def test_a_conftest_that_cannot_import_the_project_counts_as_a_failing_test(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import shop\n")
    (tmp_path / "shop.py").write_text("from collections import defaultdct\n\nX = defaultdct(int)\n")
    (tmp_path / "test_shop.py").write_text(
        "from shop import X\n\n\ndef test_x():\n    assert X['a'] == 0\n"
    )
    report = repair_project(tmp_path, COMMAND, (), Settings(search_s=20), quiet)
    assert report.failing == ("conftest.py",)
    assert "defaultdict" in report.candidates[0].diff


def test_a_unittest_command_finds_its_tests_as_unittest_does(checkout: Path) -> None:
    (checkout / "test_shop.py").unlink()
    (checkout / "checks").mkdir()
    (checkout / "checks" / "total_check.py").write_text(
        "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n"
        "    @classmethod\n    def setUpClass(cls):\n        cls.amounts = [1, 2]\n\n"
        "    def test_none(self):\n        self.assertEqual(total([]), 0)\n\n"
        "    def test_two(self):\n        self.assertEqual(total(self.amounts), 3)\n"
    )
    command = (
        sys.executable,
        "-m",
        "unittest",
        "discover",
        "-v",
        "-s",
        "checks",
        "-p",
        "*_check.py",
    )
    report = repair_project(checkout, command, (), Settings(search_s=20), quiet)
    assert report.failing == ("total_check.Total.test_two",)
    assert report.passing == 1
    assert "+            found += amount" in report.candidates[0].diff


@pytest.mark.parametrize(
    ("command", "environment", "words"),
    [
        (("pytest", "-q"), {}, ["pytest", "-q"]),
        (("env", "A=1", "B=x=y", "pytest"), {"A": "1", "B": "x=y"}, ["pytest"]),
        (("PYTHONPATH=src pytest -q",), {"PYTHONPATH": "src"}, ["pytest", "-q"]),
        (("sh", "-c", "cd . && A=1 pytest t"), {"A": "1"}, ["pytest", "t"]),
    ],
)
def test_what_a_command_sets_first_is_its_environment(
    command: tuple[str, ...], environment: dict[str, str], words: list[str]
) -> None:
    assert command_words(command) == (environment, words)


def test_the_import_path_that_the_command_sets_is_used(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "shop.py").write_text(MODULE)
    (tmp_path / "test_shop.py").write_text(TESTS)
    command = ("env", "PYTHONPATH=src", *COMMAND)
    report = repair_project(tmp_path, command, (), Settings(search_s=20), quiet)
    assert dict(report.candidates[0].files)["src/shop.py"].decode() == MODULE.replace("-=", "+=")


def test_unittest_classes_under_pytest_reject_what_does_not_repair(checkout: Path) -> None:
    (checkout / "test_shop.py").write_text(
        "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n"
        "    def test_none(self):\n        self.assertEqual(total([]), 0)\n\n"
        "    def test_two(self):\n        self.assertEqual(total([1, 2]), 3)\n"
    )
    report = repair_project(checkout, COMMAND, (), Settings(search_s=20), quiet)
    assert report.plausible < report.tried / 5
    assert dict(report.candidates[0].files)["shop.py"].decode() == MODULE.replace("-=", "+=")


def test_a_test_that_passes_by_what_an_earlier_run_left_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def name():\n    return 'shop'\n")
    (tmp_path / "test_shop.py").write_text(
        "from pathlib import Path\n\nfrom shop import name\n\n\ndef test_name():\n"
        "    mark = Path('left_behind')\n    was_there = mark.exists()\n    mark.touch()\n"
        "    assert name() and was_there\n"
    )
    report = repair_project(tmp_path, COMMAND, (), Settings(search_s=5), quiet)
    assert report.candidates == ()


def test_two_functions_with_a_slip_each_get_one_patch_with_both(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "def less(a, b):\n    return a > b\n\n\ndef plus(a, b):\n    return a - b\n"
    )
    (tmp_path / "test_shop.py").write_text(
        "from shop import less, plus\n\n\ndef test_less():\n    assert less(1, 2)\n"
        "    assert not less(2, 1)\n\n\ndef test_plus():\n    assert plus(2, 3) == 5\n"
    )
    report = repair_project(tmp_path, COMMAND, (), Settings(search_s=20), quiet)
    assert dict(report.candidates[0].files)["shop.py"].decode() == (
        "def less(a, b):\n    return a < b\n\n\ndef plus(a, b):\n    return a + b\n"
    )


def test_a_test_that_fails_for_another_reason_is_told_apart(checkout: Path) -> None:
    other = "\n\ndef test_other():\n    assert total([]) == 1\n"
    (checkout / "test_shop.py").write_text(TESTS + other)
    report = repair_project(checkout, COMMAND, (), Settings(search_s=20), quiet)
    assert report.candidates == ()
    assert any(note.endswith("--fail test_shop.py::test_one") for note in report.notes)


def test_one_test_alone_makes_no_patch_high(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def double(x):\n    return x + 2\n")
    (tmp_path / "test_shop.py").write_text(
        "from shop import double\n\n\ndef test_it():\n    assert double(3) == 6\n"
    )
    report = repair_project(tmp_path, COMMAND, (), Settings(search_s=20), quiet)
    assert report.candidates
    assert report.tier == "medium"


def test_several_tests_make_the_only_patch_that_passes_them_high(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def area(w, h):\n    return w + h\n")
    (tmp_path / "test_shop.py").write_text(
        "import pytest\nfrom shop import area\n\n\n"
        "@pytest.mark.parametrize('w,h', [(2, 3), (5, 7), (1, 1), (2, 2), (0, 4)])\n"
        "def test_it(w, h):\n    assert area(w, h) == w * h\n"
    )
    report = repair_project(tmp_path, COMMAND, (), Settings(search_s=20), quiet)
    assert b"w * h" in dict(report.candidates[0].files)["shop.py"]
    assert report.tier == "high"


def test_one_test_that_needs_two_edits_one_after_the_other_gets_both(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "def head(rows):\n    first = rows[1]\n    return first\n\n\n"
        "def name(rows):\n    row = head(rows)\n    return row['nam'].strip('x')\n\n\n"
        "def label(rows):\n    text = name(rows)\n    return text.lower()\n"
    )
    (tmp_path / "test_shop.py").write_text(
        "from shop import label, head\n\n\ndef test_it():\n"
        "    assert label([{'nam': 'aB'}]) == 'AB'\n"
    )
    report = repair_project(tmp_path, COMMAND, (), Settings(search_s=30), quiet)
    text = dict(report.candidates[0].files)["shop.py"].decode()
    assert "rows[0]" in text
    assert ".upper()" in text


def test_the_wrapper_that_a_decorator_made_is_repaired(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import functools\n\n\ndef twice(function):\n    @functools.wraps(function)\n"
        "    def inner(x):\n        return function(x) + 2\n    return inner\n\n\n"
        "@twice\ndef one(x):\n    return x\n"
    )
    (tmp_path / "test_shop.py").write_text(
        "import pytest\nfrom shop import one\n\n\n"
        "@pytest.mark.parametrize('x', [1, 3, 7])\n"
        "def test_it(x):\n    assert one(x) == 2 * x\n"
    )
    report = repair_project(tmp_path, COMMAND, (), Settings(search_s=20), quiet)
    assert b"function(x) * 2" in dict(report.candidates[0].files)["shop.py"]
