"""The cases that can be played: a service with one bug, its load and the truth about it.

A case is described by one TOML file. The shop's four lie beside its service and ship with the
app; the zoo's, one folder each, are there when the app runs from its checkout.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import STRATEGIES

BUNDLED = Path(__file__).parent / "services"
ZOO = Path(__file__).parents[2] / "tests" / "zoo" / "services"


@dataclass(frozen=True, slots=True)
class Truth:
    """What is wrong with the service, for judges only: the engine never reads it."""

    bug_type: str
    file: str
    """Where a correct patch goes, relative to the project."""
    functions: tuple[str, ...]
    """Qualified names of the functions that a person would call the place of the bug."""
    also: tuple[str, ...] = ()
    """Further bug types that a person would accept."""


@dataclass(frozen=True, slots=True)
class Case:
    """One playable case. `{python}`, `{project}`, `{case}`, `{port}` and `{upstream_port}` stand
    for what `prepare` fills in."""

    name: str
    strategy: str
    title: str
    story: str
    """What a person will see, in two or three sentences."""
    framework: str
    folder: Path
    service: Path
    history: Path | None
    command: tuple[str, ...]
    tests: tuple[str, ...]
    load: tuple[str, ...]
    """Arguments of the interpreter that runs the load."""
    env: dict[str, str] = field(default_factory=dict)
    bug_after_s: float = 20.0
    rate_per_s: float = 20.0
    truth: Truth = field(default_factory=lambda: Truth("", "", ()))
    bundled: bool = True
    python_below: tuple[int, ...] = ()
    """The first Python in which the bug cannot happen any more; () where there is none."""

    @property
    def shows(self) -> bool:
        """Whether this interpreter still has what the bug needs."""
        return not self.python_below or sys.version_info[:2] < self.python_below


@cache
def all_cases() -> tuple[Case, ...]:
    """The bundled cases, then the zoo's, each in the order of the strategies."""
    bundled = [_read(file, bundled=True) for file in sorted(BUNDLED.glob("*/*.toml"))
               if file.name != "history.toml"]  # fmt: skip
    zoo = cases_in(ZOO)
    order = {name: place for place, name in enumerate(STRATEGIES)}
    for cases in (bundled, zoo):
        cases.sort(key=lambda case: (order.get(case.strategy, len(order)), case.name))
    return (*bundled, *zoo)


def cases_in(folder: Path) -> list[Case]:
    """The cases that lie in a folder, one folder each with a `truth.toml`."""
    return [_read(file, bundled=False) for file in sorted(folder.glob("*/truth.toml"))]


def find_case(name: str) -> Case:
    """The case of that name. Raises SelfhealError, naming near ones, when there is none."""
    cases = all_cases()
    for case in cases:
        if case.name == name:
            return case
    known = ", ".join(case.name for case in cases if case.bundled or name[:3] in case.name)
    raise SelfhealError(f"no demo called {name!r}: there are {known} (see `demo --list`)")


def _read(file: Path, *, bundled: bool) -> Case:
    plain: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    service, load, truth = plain["service"], plain["load"], plain["truth"]
    history = file.parent / service.get("history", "history.toml")
    return Case(
        name=plain["name"],
        strategy=plain["strategy"],
        title=plain["title"],
        story=plain["story"],
        framework=plain["framework"],
        folder=file.parent,
        service=file.parent / service.get("folder", "service"),
        history=history if history.is_file() else None,
        command=tuple(service["command"]),
        tests=tuple(service["tests"].split()),
        load=tuple(load.get("command", ("{case}/load.py",))),
        env=dict(service.get("env", {})),
        bug_after_s=float(load.get("bug_after_s", 20)),
        rate_per_s=float(load.get("rate", 20)),
        truth=Truth(
            bug_type=truth["bug_type"],
            file=truth["file"],
            functions=tuple(truth["functions"]),
            also=tuple(truth.get("also", ())),
        ),
        bundled=bundled,
        python_below=tuple(
            int(part) for part in service.get("python_below", "").split(".") if part
        ),
    )


CASES = tuple(case for case in all_cases() if case.bundled)
"""The cases that ship with the app."""
