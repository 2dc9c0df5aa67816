"""Generated code runs only behind the wall; this room builds it and judges what runs there."""

from selfheal_engine.sandbox_validator.validator import SandboxValidator
from selfheal_engine.sandbox_validator.wall import (
    IsolationLevel,
    Limits,
    Run,
    level,
    run_walled,
    sweep,
)

__all__ = ["IsolationLevel", "Limits", "Run", "SandboxValidator", "level", "run_walled", "sweep"]
