"""What the probe records of a crash is enough to make it happen again in the sandbox.

A few of the sites of the replay benchmark, each a real service: scripts that serve as soon as
they are imported, objects that hold sockets, state that a module keeps.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from selfheal_engine.sandbox_validator.wall import level
from tests.benchmarks.replay import SITES, Site, try_site

pytestmark = pytest.mark.skipif(level().tier >= 3, reason="this machine cannot isolate")


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("tcp_line_server", {"call", "statement"}),
        ("thread_loop_globals", {"call", "statement"}),
        ("asyncio_protocol", {"call"}),
        ("http_server_handler", {"call", "statement"}),
    ],
)
def test_a_crash_happens_again_from_its_record(name: str, kinds: set[str], tmp_path: Path) -> None:
    site = Site(name, (SITES / f"{name}.py").read_text())
    result = try_site(site, Path(sys.executable), tmp_path)
    assert not result.caught
    assert set(result.by) >= kinds, result.why_not
