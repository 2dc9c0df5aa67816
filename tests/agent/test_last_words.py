"""The probe survives a program that puts another one in its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfheal_agent.launch import BOOT, environment

AGAIN = "import sys; print('selfheal_agent.probe' in sys.modules)"


@pytest.mark.parametrize(
    "call", ["execv(sys.executable, words)", "execve(sys.executable, words, env)"]
)
def test_a_wrapper_that_puts_its_folder_first_does_not_lose_the_probe(
    call: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('the wrapper')\n")
    wrapper = f"""
import os, sys
env = {{**os.environ, "PYTHONPATH": {str(tmp_path)!r} + os.pathsep + os.environ["PYTHONPATH"]}}
os.environ["PYTHONPATH"] = env["PYTHONPATH"]
words = [sys.executable, "-c", {AGAIN!r}]
os.{call}
"""
    run = subprocess.run(
        [sys.executable, "-c", wrapper],
        env=environment(os.environ, "test", str(tmp_path / "run"), str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout.splitlines() == ["the wrapper", "True"], run.stderr


def test_our_folder_is_one_that_holds_nothing_else() -> None:
    assert [name for name in os.listdir(BOOT) if name.endswith(".py")] == ["sitecustomize.py"]
