"""The probe among tools that tidy up behind it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import selfheal_agent

TIDIED = """
import sys
import selfheal_agent
from selfheal_agent import hooks, requests
from selfheal_agent.integrations import web

hooks.install()
for name in [name for name in sys.modules if name.startswith("selfheal_agent")]:
    del sys.modules[name]
sys.path.remove(sys.argv[1])

import selfheal_agent as package
import selfheal_agent.requests as again
from selfheal_agent.integrations import web as web_again
from selfheal_agent.scrub import is_secret_name
import importlib

assert package is selfheal_agent and again is requests and web_again is web
assert again.__spec__.loader.path.endswith("requests.py"), "its own loader is forgotten"
try:
    importlib.import_module("selfheal_agent.no_such_module")
except ModuleNotFoundError:
    print("as before")
"""


def test_modules_that_were_taken_out_are_the_same_again() -> None:
    room = str(Path(selfheal_agent.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {room!r})\n{TIDIED}", room],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "as before\n"), done.stderr
