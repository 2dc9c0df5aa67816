"""What is imported before the first paint is paid for by everyone who opens the app."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "sklearn",
    "numpy",
    "scipy",
    "libcst",
    "flask",
    "tinydb",
    "pygments.lexers.python",
    "psutil",
    "requests",
    "selfheal_engine.coordinator",
    "selfheal_engine.sources",
}


def test_the_app_imports_nothing_heavy_before_its_first_paint() -> None:
    code = "import sys, selfheal_tui.app, selfheal_tui.screens.picker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_the_widgets_know_only_the_model_of_the_engine() -> None:
    code = (
        "import sys, pkgutil, importlib, selfheal_widgets as w\n"
        "[importlib.import_module('selfheal_widgets.' + m.name) for m in"
        " pkgutil.iter_modules(w.__path__)]\n"
        "print(*[m for m in sys.modules if m.startswith('selfheal_')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    known = ("selfheal_widgets", "selfheal_engine.model")
    assert {m for m in done.stdout.split() if not m.startswith(known)} == {"selfheal_engine"}
