"""The options that the commands share, and how they become one Settings object.

They may stand before the command or behind it (`selfheal-tui --state DIR run …` and
`selfheal-tui run --state DIR …`); behind wins. What no flag says comes from the environment
and the config file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from selfheal_engine.config import Settings, load_settings

Command = Callable[..., Any]

_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.option("--project", metavar="DIR", help="Folder of the service's source."),
    click.option("--tests", metavar="CMD", help="Command that runs the service's tests."),
    click.option(
        "--approve",
        metavar="LEVEL",
        help="Highest risk applied without a person: never (default), low, medium, high.",
    ),
    click.option(
        "--approve-floor",
        metavar="N",
        help="Lowest safety score (0-100) that --approve may apply.",
    ),
    click.option(
        "--interval",
        "interval_s",
        metavar="S",
        help="Seconds between samples (default 5).",
    ),
    click.option("--events", metavar="FILE", help="Append every event to FILE as a JSON line."),
    click.option(
        "--apply-mode",
        metavar="MODE",
        help="live (default), file, git or export: how far an approved patch goes.",
    ),
    click.option(
        "--executor",
        metavar="URL",
        help="Try patches on a cluster, dask://host:port, instead of on this machine.",
    ),
    click.option("--state", "state_dir", metavar="DIR", help="Folder of history and snapshots."),
    click.option("--run-dir", metavar="DIR", help="Folder of the probes' sockets."),
    click.option(
        "--log",
        "log_files",
        metavar="FILE",
        multiple=True,
        default=None,
        help="A log of the service whose tracebacks are read; may be given more than once.",
    ),
    click.option(
        "--queue-dir", metavar="DIR", help="Spool folder whose files count as queue depth."
    ),
    click.option("--config", metavar="FILE", help="Config file instead of the default one."),
    click.option("--theme", metavar="NAME", help="Colour theme of the app."),
    click.option("--ascii", is_flag=True, default=None, help="Draw with ASCII characters only."),
)


def option_flags(command: Command) -> Command:
    """Add the shared options to a command as they are, under their own names."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def common_options(command: Command) -> Command:
    """Add the shared options to a command, which gets them as one `settings: Settings`.

    Where each setting came from lies in the context: `click.get_current_context().meta`
    under "selfheal.sources". Raises ConfigError for values that are not possible.
    """

    @option_flags
    @functools.wraps(command)
    def with_settings(*args: Any, **given: Any) -> Any:
        context = click.get_current_context()
        flags = dict(context.meta.get("selfheal.flags", {}))
        for name in SHARED:
            value = given.pop(name, None)
            if value is not None and value != ():
                flags[name] = value
        settings, sources = settings_from(flags)
        context.meta["selfheal.sources"] = sources
        return command(*args, settings=settings, **given)

    return with_settings


def explain_only(*names: str) -> Callable[[Command], Command]:
    """Keep the shared options that matter to a command in its help; the others work unseen."""

    def hide(command: Command) -> Command:
        for parameter in getattr(command, "params", ()):
            if parameter.name in SHARED and parameter.name not in names:
                parameter.hidden = True
        return command

    return hide


SHARED = (
    "project",
    "tests",
    "approve",
    "approve_floor",
    "interval_s",
    "events",
    "apply_mode",
    "executor",
    "state_dir",
    "run_dir",
    "log_files",
    "queue_dir",
    "config",
    "theme",
    "ascii",
)
"""Parameter names of the shared options; all but `config` are fields of Settings."""


def settings_from(flags: dict[str, Any]) -> tuple[Settings, dict[str, str]]:
    """Settings from flags, environment and file, and where each came from."""
    flags = dict(flags)
    config = flags.pop("config", None)
    settings, sources = load_settings(Path(config) if config else None, flags=flags)
    if settings.executor:
        from selfheal_engine.sandbox_validator.executors import scheduler_of

        scheduler_of(settings.executor)  # said now, not when the first patch is tried
    return settings, sources
