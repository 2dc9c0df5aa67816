"""Which expression of the scene was None."""

from __future__ import annotations

import ast

from selfheal_engine.patch_generator.rules import Scene

STRATEGY = "null_check"


def guarded(scene: Scene) -> ast.expr | None:
    """The expression that was None, where one is known."""
    if "await" in scene.message:
        return None  # what came back is None because it is there already: nothing is missing
    return scene.failure.culprit if scene.failure.is_none else None
