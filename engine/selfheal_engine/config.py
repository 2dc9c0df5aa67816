"""One typed settings object, filled from a TOML file, the environment and flags, in that order.

Every setting has a line of help in its field's metadata: the settings screen, `--help` and
the README's table are made from it.
"""

from __future__ import annotations

import os
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from selfheal_engine.errors import ConfigError
from selfheal_engine.model import Level

ApplyMode = Literal["live", "file", "git", "export"]


def _setting(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. Paths are strings so that the file, the screen and the flags show the same."""

    project: str = _setting("", "folder of the service's source; empty: found from the process")
    tests: str = _setting("", "command that runs the service's tests; empty: pytest where found")
    approve: Level = _setting(
        "never", "highest risk applied without a person: never|low|medium|high"
    )
    approve_floor: int = _setting(80, "lowest safety score that --approve may apply, 0-100")
    interval_s: float = _setting(5.0, "seconds between samples")
    events: str = _setting("", "JSON-lines file that gets every event")
    state_dir: str = _setting("", "history and snapshots; empty: $XDG_STATE_HOME/selfheal-tui")
    run_dir: str = _setting("", "the probes' sockets; empty: $XDG_RUNTIME_DIR/selfheal-tui")
    apply_mode: ApplyMode = _setting("live", "live swap, file only, git commit, or export a patch")
    git_branch: str = _setting("", "with apply_mode git: the branch to commit to; empty: current")
    reload_command: str = _setting(
        "", "run when a swap is refused or frees nothing; empty: SIGHUP to gunicorn"
    )
    restart_command: str = _setting(
        "", "run when reload is not possible; empty: never, but for --approve high"
    )
    watch_s: float = _setting(60.0, "seconds a healing is watched at most before it counts")
    canary: bool = _setting(True, "swap one worker first, compare, then the rest")
    applies_per_hour: int = _setting(6, "most automatic applies an hour")
    history_days: float = _setting(365.0, "days an episode is kept; 0: for ever")
    maintenance: bool = _setting(False, "watch and propose only; apply nothing, even when asked")
    candidates: int = _setting(5, "most patches shown for one incident (3-5)")
    search_s: float = _setting(60.0, "CPU seconds for the search for patches of one incident")
    sandbox_jobs: int = _setting(0, "sandboxes at a time; 0: one for each core")
    sandbox_memory_mb: int = _setting(1024, "memory of one sandbox's process tree")
    sandbox_disk_mb: int = _setting(384, "disk that one sandbox may write")
    sandbox_processes: int = _setting(128, "processes of one sandbox")
    test_timeout_s: float = _setting(120.0, "wall seconds for one run of the service's tests")
    test_budget_s: float = _setting(
        10.0, "of a suite that takes longer, tests of the patched code run first, then what fits"
    )
    executor: str = _setting("", "dask://host:port tries patches on a cluster; empty: here")
    sandbox_paths: tuple[str, ...] = _setting((), "paths outside the project a reproducer may read")
    proposer: str = _setting("", "external command that also proposes patches")
    proposer_values: bool = _setting(False, "give captured values to the external proposer")
    bell: bool = _setting(True, "ring and notify the terminal when a proposal appears")
    quiet_hours: str = _setting("", 'no bell in these hours: "22-7"')
    theme: str = _setting("", "colour theme; empty: the app's own")
    ascii: bool = _setting(False, "sparklines and borders in ASCII")
    keys: tuple[str, ...] = _setting((), 'keys of the app\'s actions: ["review.approve=A"]')
    queue_dir: str = _setting("", "spool folder whose files count as queue depth")
    latency_budget_ms: float = _setting(0.0, "p95 to be warned of before it is reached; 0: none")
    swallowed: bool = _setting(
        False, "record exceptions that the service's own code catches silently (Python 3.12 on)"
    )
    log_files: tuple[str, ...] = _setting((), "log files whose tracebacks are read")
    sink_port: int = _setting(0, "loopback port for Sentry envelopes and OTLP/HTTP; 0: off")
    prometheus_url: str = _setting("", "metrics page of the service, scraped at each sample")
    notify: tuple[str, ...] = _setting((), "webhook or apprise URLs told of proposals")

    def state_path(self) -> Path:
        """Folder of the history, made by whoever writes there first."""
        if self.state_dir:
            return Path(self.state_dir).expanduser()
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(base) / "selfheal-tui"

    def run_path(self) -> Path:
        """Folder of the probes' sockets."""
        if self.run_dir:
            return Path(self.run_dir).expanduser()
        base = os.environ.get("XDG_RUNTIME_DIR")
        return Path(base) / "selfheal-tui" if base else Path(f"/tmp/selfheal-tui-{os.getuid()}")


def load_settings(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> tuple[Settings, dict[str, str]]:
    """Settings and, for each that is not a default, where it came from.

    `path` must exist when given; without it `$XDG_CONFIG_HOME/selfheal-tui/config.toml` is
    read when there is one. The environment counts as SELFHEAL_<NAME>; `flags` holds what the
    command line set. Raises ConfigError, naming the key and, for a broken file, the line.
    """
    environ = os.environ if environ is None else environ
    settings, sources = Settings(), {}
    file = path or default_config_path(environ)
    if path is not None or file.is_file():
        values, lines = _read_file(file)
        for key, raw in values.items():
            settings = _with(settings, key, raw, f"{file}, line {lines.get(key, 1)}")
            sources[key] = str(file)
    for name in (f.name for f in fields(Settings)):
        variable = f"SELFHEAL_{name.upper()}"
        if variable in environ:
            settings = _with(settings, name, environ[variable], f"${variable}")
            sources[name] = f"${variable}"
    for key, raw in (flags or {}).items():
        if raw is not None:
            settings = _with(settings, key, raw, f"--{key.removesuffix('_s').replace('_', '-')}")
            sources[key] = "command line"
    return settings, sources


def default_config_path(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config"
    return Path(base) / "selfheal-tui" / "config.toml"


def describe(settings: Settings) -> list[tuple[str, object, str]]:
    """(name, value, help) of every setting, in order."""
    return [(f.name, getattr(settings, f.name), f.metadata["help"]) for f in fields(Settings)]


def _read_file(file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The values of a file, and the line that each of its keys stands in, from 1."""
    try:
        text = file.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"no config file at {file}: check --config") from None
    except OSError as why:
        raise ConfigError(f"cannot read {file}: {why.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as why:
        raise ConfigError(f"{file} is not valid TOML: {why}{_quoted(file, str(why))}") from None
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        lines.setdefault(line.partition("=")[0].strip().strip("\"'[]"), number)
    return values, lines


def _quoted(file: Path, why: str) -> str:
    """The line that the parser stopped in, for a person to see the key."""
    found = re.search(r"at line (\d+)", why)
    if found is None:
        return ""
    lines = file.read_text(encoding="utf-8").splitlines()
    number = int(found[1])
    return f": `{lines[number - 1].strip()}`" if number <= len(lines) else ""


def _with(settings: Settings, key: str, raw: Any, where: str) -> Settings:
    hints = typing.get_type_hints(Settings)
    if key not in hints:
        import difflib  # a mistake is rare, and start-up is not

        near = difflib.get_close_matches(key, hints, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigError(f"{where}: unknown setting {key!r}{hint}")
    try:
        return replace(settings, **{key: _convert(hints[key], raw)})
    except ValueError as why:
        raise ConfigError(f"{where}: {key} = {raw!r}: {why}") from None


def _convert(hint: Any, raw: Any) -> Any:
    """`raw` as the setting's type; ValueError says what was expected."""
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if raw not in choices:
            raise ValueError("expected one of " + ", ".join(choices))
        return raw
    if typing.get_origin(hint) is tuple:
        items = raw.split(os.pathsep) if isinstance(raw, str) else raw
        if not isinstance(items, (list, tuple)):
            raise ValueError("expected a list of texts")
        return tuple(str(item) for item in items if item)
    if hint is bool:
        return _convert_bool(raw)
    if hint in (int, float):
        return _convert_number(hint, raw)
    if not isinstance(raw, str):
        raise ValueError("expected a text")
    return raw


def _convert_bool(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("expected true or false")


def _convert_number(kind: type, raw: Any) -> float:
    if isinstance(raw, bool):
        raise ValueError("expected a number")
    try:
        number: float = kind(raw)
    except (TypeError, ValueError):
        raise ValueError("expected a number") from None
    if not 0 <= number < float("inf"):
        raise ValueError("expected a number that is not negative")
    return number
