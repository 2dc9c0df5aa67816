"""A small service with tests of its own, and candidates made from its text."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from selfheal_agent import recording
from selfheal_engine.config import Settings
from selfheal_engine.model import (
    Candidate,
    Check,
    Diagnosis,
    GoodCall,
    Occurrence,
    Reproducer,
    Verdict,
)
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import SandboxValidator

PYTEST = (
    *("python", "-m", "pytest", "-q"),
    *("-p", "no:hypothesispytest", "-p", "no:xdist", "-p", "no:syrupy"),
    *("-p", "no:textual-snapshot", "-p", "no:asyncio"),
)
"""Without the plugins that only this repository's own tests want."""

ORDERS = '''\
"""Orders of a small shop."""


def label(order):
    street = order["address"].strip()
    return street.upper()


def total(prices):
    result = 0
    for price in prices:
        result += price
    return result
'''

TESTS = """\
from orders import label, total


def test_label():
    assert label({"address": " high street "}) == "HIGH STREET"


def test_total():
    assert total([1, 2, 3]) == 6


def test_total_of_nothing():
    assert total([]) == 0
"""

FIX = (
    '    street = order["address"].strip()\n    return street.upper()\n',
    '    address = order["address"]\n    if address is None:\n        return ""\n'
    "    return address.strip().upper()\n",
)


def call_of(*args: object, **kwargs: object) -> str:
    return recording.encode({"args": list(args), "kwargs": kwargs})


@dataclass
class Shop:
    """The project, the occurrence that was recorded and the validator that judges."""

    root: Path
    validator: SandboxValidator
    diagnosis: Diagnosis
    occurrence: Occurrence

    def candidate(
        self, text: str, file: str = "orders.py", name: str = "c", strategy: str = "null_check"
    ) -> Candidate:
        place = self.root / file
        before = place.read_text() if place.exists() else ""
        diff = "".join(
            difflib.unified_diff(
                before.splitlines(keepends=True),
                text.splitlines(keepends=True),
                f"a/{file}",
                f"b/{file}",
            )
        )
        files = ((file, text.encode()),)
        return Candidate(name, strategy, "t", "title", diff, files, confidence=0.7)

    def fixed(self, extra: str = "") -> Candidate:
        assert FIX[0] in ORDERS
        return self.candidate(extra + ORDERS.replace(*FIX), name="fixed")

    def judge(self, *candidates: Candidate) -> list[Verdict]:
        return self.validator.validate(
            candidates, self.diagnosis, self.occurrence, lambda verdict: None
        )


MakeShop = Callable[..., Shop]


def check(verdict: Verdict, name: str) -> Check:
    """The check of that name, which must be there."""
    found = verdict.check(name)
    assert found is not None, verdict.checks
    return found


def write_shop(root: Path, tests: str = TESTS) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "orders.py").write_text(ORDERS)
    (root / "test_orders.py").write_text(tests)


def none_address(root: Path) -> tuple[Diagnosis, Occurrence]:
    """`label` was called with an order that has no address; a good call is on record too."""
    good = GoodCall(
        "label", str(root / "orders.py"), call_of({"address": "a"}), recording.encode("A")
    )
    reproducer = Reproducer(
        "call",
        module="orders",
        file="orders.py",
        functions=("label",),
        arguments=(call_of({"address": None}),),
        exception="AttributeError",
        crash_file="orders.py",
        crash_line=5,
        crash_function="label",
    )
    occurrence = Occurrence(
        "o1", "exception", 0.0, 1, "AttributeError", "no strip", (), good_calls=(good,)
    )
    diagnosis = Diagnosis(
        "null_check", (("null_check", 1.0),), (), "no address", reproducers=(reproducer,)
    )
    return diagnosis, occurrence


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One project and one validator for a whole module: candidates never touch each other."""
    base = tmp_path_factory.mktemp("shop")
    root = base / "service"
    write_shop(root)
    project = Project(root, sys.executable, PYTEST)
    validator = SandboxValidator(project, Settings(state_dir=str(base / "state")))
    diagnosis, occurrence = none_address(root)
    validator.baseline(diagnosis, occurrence)
    yield Shop(root, validator, diagnosis, occurrence)
    validator.close()


@pytest.fixture
def make_shop(tmp_path: Path) -> Iterator[MakeShop]:
    """A shop with files, tests and reproducers of its own."""
    open_validators: list[SandboxValidator] = []

    def make(
        files: dict[str, str] | None = None,
        tests: tuple[str, ...] = PYTEST,
        reproducers: tuple[Reproducer, ...] | None = None,
        occurrence: Occurrence | None = None,
        **settings: object,
    ) -> Shop:
        root = tmp_path / "service"
        write_shop(root)
        for name, text in (files or {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        known = Settings(state_dir=str(tmp_path / "state"), **settings)  # type: ignore[arg-type]
        validator = SandboxValidator(Project(root, sys.executable, tests), known)
        open_validators.append(validator)
        diagnosis, recorded = none_address(root)
        if reproducers is not None:
            diagnosis = replace(diagnosis, reproducers=reproducers)
        shop = Shop(root, validator, diagnosis, occurrence or recorded)
        validator.baseline(shop.diagnosis, shop.occurrence)
        return shop

    yield make
    for validator in open_validators:
        validator.close()
