"""The same slip elsewhere is found by its statements and mended in its own names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from selfheal_engine.healer.rebase import unified
from selfheal_engine.model import Candidate
from selfheal_engine.patch_generator.siblings import siblings
from selfheal_engine.project import Project, sha256

HEAD = "from errors import Missing\n\n\n"
OLD = HEAD + ('def zip_of(customer):\n    record = customer.address\n    return record["zip"]\n')
NEW = HEAD + (
    "def zip_of(customer):\n"
    "    record = customer.address\n"
    "    if record is None:\n"
    '        raise Missing("address")\n'
    '    return record["zip"]\n'
)
SIBLING = HEAD + (
    "class Mail:\n"
    "    def city(self, order):\n"
    "        if order:\n"
    "            found = order.address\n"
    '            return found["city"]\n'
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "shop.py").write_text(OLD)
    return Project(tmp_path, sys.executable)


def patch(old: str = OLD, new: str = NEW) -> Candidate:
    before, after = old.encode(), new.encode()
    return Candidate(
        "c1",
        "null_check",
        "guard",
        "refuse a customer without an address",
        unified("shop.py", before, after),
        (("shop.py", after),),
        (("shop.py", sha256(before)),),
        ("zip_of",),
    )


def write(project: Project, name: str, text: str) -> None:
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_a_sibling_there_is_nothing_to_add(project: Project) -> None:
    assert siblings(patch(), project) is None


def test_the_edit_is_made_in_the_siblings_own_names(project: Project) -> None:
    write(project, "mail/letters.py", SIBLING)
    found = siblings(patch(), project)
    assert found is not None
    assert found.title.endswith("; the same slip is in 1 more place")
    assert found.origin == "siblings"
    assert dict(found.files)["shop.py"].decode() == NEW
    assert dict(found.files)["mail/letters.py"].decode() == SIBLING.replace(
        '            return found["city"]\n',
        "            if found is None:\n"
        '                raise Missing("address")\n'
        '            return found["city"]\n',
    )
    assert found.functions == ("zip_of", "Mail.city")
    assert dict(found.original_hashes)["mail/letters.py"] == sha256(SIBLING.encode())
    assert found.diff.count("--- a/") == 2


def test_a_sibling_in_the_same_file_is_one_diff(project: Project) -> None:
    more = '\n\ndef town(who):\n    seen = who.address\n    return seen["town"]\n'
    write(project, "shop.py", OLD + more)
    found = siblings(patch(OLD + more, NEW + more), project)
    assert found is not None
    assert dict(found.files)["shop.py"].decode().count("raise Missing") == 2
    assert found.diff.count("--- a/") == 1
    assert found.files[0][0] == "shop.py"


@pytest.mark.parametrize(
    "text",
    [
        SIBLING.replace("from errors import Missing", "import errors"),
        SIBLING.replace('return found["city"]', "return found.city"),
        SIBLING.replace('return found["city"]', 'return order["city"] + found'),
        SIBLING.replace('return found["city"]', 'found = 1; return found["city"]'),
        SIBLING.replace(".address", ".postbox"),
        "def broken(:\n",
    ],
    ids=["name unknown", "attribute", "other names", "shared line", "other source", "broken"],
)
def test_what_is_not_the_same_is_left_alone(project: Project, text: str) -> None:
    write(project, "mail.py", text)
    assert siblings(patch(), project) is None


def test_what_is_mended_already_is_left_alone(project: Project) -> None:
    write(project, "mail.py", NEW.replace("customer", "order").replace("record", "found"))
    assert siblings(patch(), project) is None


def test_tests_are_no_siblings(project: Project) -> None:
    write(project, "tests/test_mail.py", SIBLING)
    assert siblings(patch(), project) is None


def test_a_replaced_statement_is_replaced_there_too(project: Project) -> None:
    old = "def share(parts, whole):\n    return sum(parts) / len(whole)\n"
    new = old.replace("/ len(whole)", "/ max(1, len(whole))")
    write(project, "shop.py", old)
    write(project, "b.py", "def mean(xs, ys):\n    return sum(xs) / len(ys)\n")
    write(project, "c.py", "def mean(xs):\n    return sum(xs) / len(xs)\n")
    found = siblings(patch(old, new), project)
    assert found is not None
    assert dict(found.files).keys() == {"shop.py", "b.py"}
    assert dict(found.files)["b.py"] == (
        b"def mean(xs, ys):\n    return sum(xs) / max(1, len(ys))\n"
    )


def test_a_constant_whose_meaning_is_a_guess_is_left_alone(project: Project) -> None:
    old = "def last(rows):\n    return rows.pages[1]\n"
    new = (
        "def last(rows):\n    if len(rows.pages) > 1:\n        return rows.pages[1]\n    return 1\n"
    )
    write(project, "shop.py", old)
    write(project, "b.py", "def third(rows):\n    return rows.pages[3]\n")
    assert siblings(patch(old, new), project) is None


def test_a_shape_that_is_everywhere_is_no_slip(project: Project) -> None:
    for number in range(30):
        write(project, f"m{number}.py", SIBLING)
    assert siblings(patch(), project) is None
