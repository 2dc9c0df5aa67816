"""A handler of Flask is replayed inside an application: its module's own, or an empty one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfheal_engine.sandbox_validator import inside

pytest.importorskip("flask")

HANDLER = """
from flask import Flask, current_app, jsonify

{app}

def show(name):
    return [jsonify(name=name).status_code, current_app.name]
"""
REPLAY = """
import replay, handlers
with replay.in_application("handlers"):
    print(*handlers.show("x"))
"""


@pytest.mark.parametrize(
    ("app", "name"), [("app = Flask('shop')", "shop"), ("def make():\n    ...", "handlers")]
)
def test_a_handler_finds_its_application(app: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(HANDLER.format(app=app))
    path = os.pathsep.join([str(Path(inside.__file__).parent), str(tmp_path)])
    ran = subprocess.run(
        [sys.executable, "-c", REPLAY],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.split() == ["200", name], ran.stderr
