"""What is imported before the first paint is paid for by everyone who opens the app."""

from __future__ import annotations

import subprocess
import sys

import pytest

from selfheal_engine import model

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


def test_what_the_first_paint_does_not_show_is_loaded_when_it_is_asked_for() -> None:
    code = "import sys, selfheal_tui.app, selfheal_tui.opening; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    later = {
        "selfheal_engine.model.incident",
        "selfheal_tui.palette",
        "selfheal_tui.screens.review",
        "selfheal_widgets.diff_model",
    }
    assert not later & set(done.stdout.split())


def test_every_name_of_the_model_can_be_asked_for() -> None:
    assert all(getattr(model, name) is not None for name in model.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        model.nonsense  # noqa: B018


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
