"""The engine's exceptions: each message says what happened, what it means and what to do."""

from __future__ import annotations


class SelfhealError(Exception):
    """Something that a person can act on; shown as one sentence, exit code 2."""


class ConfigError(SelfhealError):
    """A setting is unknown or has an impossible value."""


class TargetError(SelfhealError):
    """The service cannot be started, found or attached to."""


class SandboxUnavailableError(SelfhealError):
    """This machine cannot isolate generated code, so nothing is validated."""


class PatchConflictError(SelfhealError):
    """The file is no longer what the patch was made for."""


class HistoryError(SelfhealError):
    """The history file is damaged, locked or from a newer version."""
