"""What the templates of this family share."""

from __future__ import annotations

import re

STRATEGY = "logic_correction"
MISSING_ATTRIBUTE = re.compile(r"^'([\w.]+)' object has no attribute '(\w+)'")
"""An AttributeError's words: (class, attribute)."""
