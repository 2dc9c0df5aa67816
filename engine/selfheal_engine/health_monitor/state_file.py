"""The hour profiles on disk: small JSON, replaced atomically, ignored when it cannot be read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from selfheal_engine.health_monitor.profile import HourProfile

_VERSION = 1


def save_profiles(path: Path, profiles: Mapping[str, HourProfile]) -> None:
    """Writes every metric's profile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {"version": _VERSION, "profiles": {n: p.dump() for n, p in profiles.items()}}
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(json.dumps(plain), encoding="utf-8")
    draft.replace(path)


def load_profiles(path: Path, profiles: Mapping[str, HourProfile]) -> bool:
    """Fills the profiles from disk; False when there is nothing there that can be read."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain["version"] != _VERSION:
            return False
        for name, profile in profiles.items():
            kept = plain["profiles"].get(name)
            if kept is not None and [len(part) for part in kept] == [24, 24]:
                profile.load(kept)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return True
