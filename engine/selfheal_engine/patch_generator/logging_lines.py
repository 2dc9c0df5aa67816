"""A log line as the project writes them: its logger, its way of formatting, nothing invented."""

from __future__ import annotations

from selfheal_engine.patch_generator.edits import Edit, add_import
from selfheal_engine.patch_generator.rules import Scene


def log_line(
    scene: Scene, text: str, values: tuple[str, ...] = (), method: str = "warning"
) -> tuple[str, tuple[Edit, ...]]:
    """(statement, imports). `text` has one `%s` for each of `values` (expressions)."""
    logger = scene.conventions.logger(scene.file)
    imports: tuple[Edit, ...] = ()
    if not logger:
        logger = "logging.getLogger(__name__)"
        imports = (add_import("import logging"),)
    if scene.conventions.log_style(scene.file) == "f" and values:
        for value in values:
            text = text.replace("%s", "{" + value + "}", 1)
        return f'{logger}.{method}(f"{text}")', imports
    arguments = "".join(f", {value}" for value in values)
    return f'{logger}.{method}("{text}"{arguments})', imports
