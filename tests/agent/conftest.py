"""A project folder whose modules count as the service's own, importable for one test."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from selfheal_agent import frames, good_calls, texts

MakeModule = Callable[[str, str], ModuleType]


@pytest.fixture
def make_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeModule]:
    """make_module(name, source) writes and imports a module of the project."""
    before = frames.project()
    frames.set_project(str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def make(name: str, source: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        importlib.invalidate_caches()
        made.append(name)
        return importlib.import_module(name)

    yield make
    for name in made:
        sys.modules.pop(name, None)
    good_calls.restore_all()
    texts._first.clear()
    texts._late.clear()
    frames.set_project(before)
