"""Defaults that a file names itself: `DEFAULT_RETRIES`, `DEFAULTS["retries"]`."""

from __future__ import annotations

import ast
import re

from selfheal_engine.patch_generator.rules import Scene


def default_named(scene: Scene, *names: str) -> str:
    """The expression of the file's own default for one of the names; "" where it has none."""
    constants = scene.conventions.constants(scene.file)
    for name in names:
        word = re.sub(r"\W+", "_", name).strip("_").upper()
        if not word:
            continue
        for form in (f"DEFAULT_{word}", f"{word}_DEFAULT"):
            if form in constants:
                return form
        for table in ("DEFAULTS", "DEFAULT_CONFIG", "DEFAULT_SETTINGS", "DEFAULT_OPTIONS"):
            display = constants.get(table)
            for key in display.keys if isinstance(display, ast.Dict) else ():
                if isinstance(key, ast.Constant) and str(key.value).upper() == word:
                    return f"{table}[{scene.text(key)}]"
    return ""
