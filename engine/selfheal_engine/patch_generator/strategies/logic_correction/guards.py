"""The guard statement that several templates write."""

from __future__ import annotations

STRATEGY = "logic_correction"
