"""How each known call takes a timeout, and which value fits."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.failure import parts_of
from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.edits import (
    Edit,
    add_argument,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Scene
from selfheal_engine.patch_generator.sites import statements_around

STRATEGY = "timeout_guard"


KINDS = frozenset({"stall", "exception", "log"})


DEFAULT_S = 5


@dataclass(frozen=True)
class Api:
    """How one family of calls takes a timeout and what it raises on expiry."""

    argument: str
    """`timeout={}`, with the place of the number."""
    expired: str
    """Exception on expiry; "" where the call returns instead."""
    need: str = ""
    """Import for the exception."""


_REQUESTS = Api("timeout={}", "requests.Timeout", "import requests")


_HTTPX = Api("timeout={}", "httpx.TimeoutException", "import httpx")


_BUILTIN = Api("timeout={}", "TimeoutError")


_RUN = Api("timeout={}", "subprocess.TimeoutExpired", "import subprocess")


_QUEUE = Api("timeout={}", "queue.Empty", "import queue")


_VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "request")


BY_MODULE: dict[str, dict[str, Api]] = {
    "requests": dict.fromkeys(_VERBS, _REQUESTS),
    "httpx": dict.fromkeys((*_VERBS, "Client", "AsyncClient", "stream"), _HTTPX),
    "request": {"urlopen": _BUILTIN},
    "socket": {"create_connection": _BUILTIN},
    "subprocess": dict.fromkeys(("run", "call", "check_call", "check_output"), _RUN),
    "sqlite3": {"connect": Api("timeout={}", "")},
    "smtplib": dict.fromkeys(("SMTP", "SMTP_SSL"), _BUILTIN),
    "ftplib": {"FTP": _BUILTIN},
    "client": dict.fromkeys(("HTTPConnection", "HTTPSConnection"), _BUILTIN),
    "psycopg": {"connect": Api("connect_timeout={}", "psycopg.OperationalError", "import psycopg")},
    "psycopg2": {
        "connect": Api("connect_timeout={}", "psycopg2.OperationalError", "import psycopg2")
    },
    "redis": dict.fromkeys(
        ("Redis", "StrictRedis", "from_url"),
        Api("socket_timeout={}", "redis.TimeoutError", "import redis"),
    ),
    "select": {"select": Api("{}", "")},
}


BY_METHOD: dict[str, Api] = {
    "communicate": _RUN,
    "result": Api("timeout={}", "TimeoutError"),
    "urlopen": _BUILTIN,
    "create_connection": _BUILTIN,
}
"""Methods that wait without limit whatever object they are called on."""


IDLE_METHODS: dict[str, Api] = {
    "get": _QUEUE,
    "wait": Api("timeout={}", ""),
    "join": Api("timeout={}", ""),
    "acquire": Api("timeout={}", ""),
}
"""Methods that wait without limit when called without arguments."""


def timeout_value(scene: Scene) -> str:
    """Seconds as source text: three times the slowest usual call, else what the project uses."""
    past = sorted(scene.occurrence.durations_s)
    if len(past) >= 5:
        p99 = past[min(len(past) - 1, int(0.99 * len(past)))]
        seconds = max(1.0, 3 * p99)
        return str(int(seconds + 0.999)) if seconds < 60 else str(int(seconds / 10 + 0.999) * 10)
    for name in scene.conventions.constants(scene.file):
        if "TIMEOUT" in name:
            return name
    used = scene.conventions.timeouts()
    numbers = [text for text, _ in used.most_common() if text.replace(".", "").isdigit()]
    return numbers[0] if numbers else str(DEFAULT_S)


def unlimited_calls(scene: Scene) -> Iterator[tuple[ast.Call, Api]]:
    """Calls of the failing statement that may wait for ever, the one that stood still first."""
    nodes = [n for n in parts_of(scene.statement) if isinstance(n, ast.Call)]
    nodes.sort(key=lambda n: n is not scene.node)
    for node in nodes:
        api = api_of(scene, node)
        if api is not None and not has_timeout(node, api):
            yield node, api


def api_of(scene: Scene, call: ast.Call) -> Api | None:
    name = called_name(call)
    if isinstance(call.func, ast.Attribute):
        owner = scene.text(call.func.value)
        known = BY_MODULE.get(owner.rpartition(".")[2], {}).get(name)
        if known is not None:
            return known
        session = _is_session(scene, call.func.value) if name in _VERBS else None
        if session is not None:
            return session
        if name in BY_METHOD:
            return BY_METHOD[name]
        if name in IDLE_METHODS and not call.args and not call.keywords:
            return IDLE_METHODS[name]
        return None
    for module, calls in BY_MODULE.items():
        if name in calls and _imported_from(scene, name, module):
            return calls[name]
    return None


def _is_session(scene: Scene, owner: ast.expr) -> Api | None:
    """Whether a name holds a `requests.Session` or an `httpx.Client`."""
    text = scene.text(owner).rpartition(".")[2]
    for node in ast.walk(scene.file.tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        targets = {scene.text(t).rpartition(".")[2] for t in node.targets}
        if text in targets:
            made = called_name(node.value)
            if made in ("Session", "session"):
                return _REQUESTS
            if made in ("Client", "AsyncClient"):
                return _HTTPX
    return None


def _imported_from(scene: Scene, name: str, module: str) -> bool:
    return any(
        isinstance(n, ast.ImportFrom)
        and (n.module or "").rpartition(".")[2] == module
        and any((a.asname or a.name) == name for a in n.names)
        for n in ast.walk(scene.file.tree)
    )


def has_timeout(call: ast.Call, api: Api) -> bool:
    wanted = api.argument.partition("=")[0]
    if called_name(call) == "select":
        return len(call.args) > 3
    if called_name(call) == "urlopen" and len(call.args) > 2:
        return True
    if called_name(call) == "create_connection" and len(call.args) > 1:
        return True
    for keyword in call.keywords:
        if keyword.arg == wanted:
            return not (isinstance(keyword.value, ast.Constant) and keyword.value.value is None)
    return False


def with_timeout(call: ast.Call, api: Api, seconds: str) -> Edit:
    wanted = api.argument.partition("=")[0]
    for keyword in call.keywords:
        if keyword.arg == wanted:
            return replace_expression(keyword.value, seconds)
    return add_argument(call, api.argument.format(seconds))


def inside_try(scene: Scene) -> bool:
    return any(isinstance(s, ast.Try) for s in statements_around(scene.file, scene.statement))
