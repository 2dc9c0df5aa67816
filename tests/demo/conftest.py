"""The shop, laid out and ready to run in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from selfheal_tui.demo.cases import find_case
from selfheal_tui.demo.prepare import PreparedCase, prepare

Lay = Callable[..., PreparedCase]


@pytest.fixture
def lay_out(tmp_path: Path) -> Lay:
    """Lays a case out below the test's folder: `lay_out("checkout", bug_after_s=3)`."""

    def lay(name: str, **choices: float) -> PreparedCase:
        return prepare(find_case(name), tmp_path / name, **choices)  # type: ignore[arg-type]

    return lay
