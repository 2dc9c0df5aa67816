"""What the templates of this family share."""

from __future__ import annotations

import ast
import re

from selfheal_engine.patch_generator.rules import Scene

STRATEGY = "logic_correction"
MISSING_ATTRIBUTE = re.compile(r"^'([\w.]+)' object has no attribute '(\w+)'")
"""An AttributeError's words: (class, attribute)."""


def lacking_attribute(scene: Scene) -> tuple[ast.Attribute, str] | None:
    """(the failing `x.name`, the class of x) where an object lacks an attribute."""
    node, found = scene.node, MISSING_ATTRIBUTE.match(scene.message)
    if scene.exception != "AttributeError" or found is None:
        return None
    if not isinstance(node, ast.Attribute) or node.attr != found[2]:
        return None
    return node, found[1].rpartition(".")[2]
