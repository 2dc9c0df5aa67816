"""A call that may wait for ever: the timeout in the API's own form, and what happens on expiry.

The value comes from the call's own past durations, else from the timeouts that the project uses
elsewhere. Only calls that are known to wait without limit are touched.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.failure import parts_of
from selfheal_engine.diagnosis.origin import called_name, last_assignment
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.edits import (
    BODY,
    Edit,
    add_argument,
    add_import,
    indented,
    insert_after,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, statements_around

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
        if api is not None and not _has_timeout(node, api):
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


def _has_timeout(call: ast.Call, api: Api) -> bool:
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


def _with_timeout(call: ast.Call, api: Api, seconds: str) -> Edit:
    wanted = api.argument.partition("=")[0]
    for keyword in call.keywords:
        if keyword.arg == wanted:
            return replace_expression(keyword.value, seconds)
    return add_argument(call, api.argument.format(seconds))


class LimitCall(Rule):
    """Gives the waiting call its own timeout argument."""

    name = "limit_call"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import requests


                def f(url):
                    return requests.get(url).json()  # <- here
                """,
            after="""
                import requests


                def f(url):
                    return requests.get(url, timeout=5).json()  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                import subprocess

                SCAN_TIMEOUT_S = 30


                def f(path):
                    return subprocess.run(['scan', path], timeout=None)  # <- here
                """,
            after="""
                import subprocess

                SCAN_TIMEOUT_S = 30


                def f(path):
                    return subprocess.run(['scan', path], timeout=SCAN_TIMEOUT_S)  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                import requests


                def f(url):
                    return requests.get(url, timeout=3)  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                def f(options):
                    return options.get('a')  # <- here
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.occurrence.kind != "stall" and "time" not in scene.exception.lower():
            return
        seconds = timeout_value(scene)
        for call, api in unlimited_calls(scene):
            name = called_name(call)
            if name == "acquire":
                continue  # its answer has to be looked at: see LimitLock
            yield scene.draft(
                _with_timeout(call, api, seconds),
                title=f"wait at most {seconds} s for `{name}`",
                weight=1.2,
                explanation=f"`{name}` has no limit of its own; one silent peer holds the caller.",
            )


class LimitCallAndAnswer(Rule):
    """Gives the call a timeout and answers expiry as the project answers a failed upstream."""

    name = "limit_call_and_answer"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import requests


                class Unavailable(Exception):
                    status = 503


                def f(url):
                    answer = requests.get(url)  # <- here
                    return answer.json()
                """,
            after="""
                import requests


                class Unavailable(Exception):
                    status = 503


                def f(url):
                    try:
                        answer = requests.get(url, timeout=5)  # <- here
                    except requests.Timeout as error:
                        raise Unavailable("get took too long") from error
                    return answer.json()
                """,
            kind="stall",
        ),
        Example(
            before="""
                import requests


                def f(url):
                    return requests.get(url)  # <- here
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.occurrence.kind != "stall" and "time" not in scene.exception.lower():
            return
        anchor = anchor_of(scene.file, scene.statement)
        seconds = timeout_value(scene)
        for call, api in unlimited_calls(scene):
            if not api.expired or anchor is None or _inside_try(scene):
                continue
            name = called_name(call)
            for refusal in refusals(
                scene.conventions,
                scene.file,
                scene.function,
                (504, 503, 502),
                f"{name.replace('_', ' ')} took too long",
                ("timeout", "upstream", "unavailable"),
            ):
                code, clause = refusal.code, f"except {api.expired}:"
                if code.startswith("raise ") and "\n" not in code:
                    code, clause = f"{code} from error", f"except {api.expired} as error:"
                imports = [*refusal.imports, *([add_import(api.need)] if api.need else [])]
                yield scene.draft(
                    replace_statements([anchor], f"try:\n    {BODY}\n{clause}\n{indented(code)}\n"),
                    _with_timeout(call, api, seconds),
                    *imports,
                    title=f"wait at most {seconds} s for `{name}`, then {refusal.title}",
                    weight=1.3 * refusal.weight / 1.4,
                )


def _inside_try(scene: Scene) -> bool:
    return any(isinstance(s, ast.Try) for s in statements_around(scene.file, scene.statement))


class LimitAwait(Rule):
    """Puts a limit around an `await` that may never come back: `asyncio.wait_for`."""

    name = "limit_await"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import asyncio


                async def f(reader):
                    return await reader.readline()  # <- here
                """,
            after="""
                import asyncio


                async def f(reader):
                    return await asyncio.wait_for(reader.readline(), 5)  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                import asyncio


                async def f(reader):
                    return await asyncio.wait_for(reader.readline(), 2)  # <- here
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.occurrence.kind != "stall" and "time" not in scene.exception.lower():
            return
        seconds = timeout_value(scene)
        for node in parts_of(scene.statement):
            if not isinstance(node, ast.Await) or not isinstance(node.value, ast.Call):
                continue
            name = called_name(node.value)
            if name in ("wait_for", "timeout", "sleep") or any(
                True for _ in unlimited_calls(scene)
            ):
                continue
            yield scene.draft(
                replace_expression(node.value, f"asyncio.wait_for(__expr__, {seconds})"),
                add_import("import asyncio"),
                title=f"wait at most {seconds} s for `{name}`",
                weight=1.2,
            )


class LimitSocket(Rule):
    """Sets the socket's timeout where it is made, for a `recv` or `accept` that waits."""

    name = "limit_socket"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import socket


                def f(host):
                    peer = socket.socket()
                    peer.connect((host, 80))
                    return peer.recv(10)  # <- here
                """,
            after="""
                import socket


                def f(host):
                    peer = socket.socket()
                    peer.settimeout(5)
                    peer.connect((host, 80))
                    return peer.recv(10)  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                def f(peer):
                    return peer.read(10)  # <- here
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        seconds = timeout_value(scene)
        for node in parts_of(scene.statement):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value
            waits = called_name(node) in ("recv", "recvfrom", "recv_into", "connect", "accept")
            if not waits or not isinstance(owner, ast.Name):
                continue
            made = last_assignment(scene.file, scene.function, owner.id, node.lineno)
            if made is None or not isinstance(made[1], ast.Call):
                continue
            if called_name(made[1]) not in ("socket", "accept") or made[2] == "loop":
                continue
            if f"{owner.id}.settimeout" in scene.file.text or isinstance(made[0], ast.With):
                continue
            yield scene.draft(
                insert_after(made[0], f"{owner.id}.settimeout({seconds})"),
                title=f"wait at most {seconds} s on `{owner.id}`",
                weight=1.1,
            )


class LimitMaker(Rule):
    """Gives the timeout where the waiting connection or client is made."""

    name = "limit_maker"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import http.client


                def f(host):
                    connection = http.client.HTTPConnection(host)
                    connection.request('GET', '/')
                    return connection.getresponse()  # <- here
                """,
            after="""
                import http.client


                def f(host):
                    connection = http.client.HTTPConnection(host, timeout=5)
                    connection.request('GET', '/')
                    return connection.getresponse()  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                def f(connection):
                    return connection.getresponse()  # <- here
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.occurrence.kind != "stall" and "time" not in scene.exception.lower():
            return
        seconds = timeout_value(scene)
        owners = {
            scene.text(n.func.value).rpartition(".")[2]
            for n in parts_of(scene.statement)
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
        }
        for file in [scene.file, *(f for f in scene.sources.all() if f is not scene.file)]:
            if is_test(file.path):
                continue
            for node in ast.walk(file.tree):
                made = node.value if isinstance(node, ast.Assign) else None
                if not isinstance(node, ast.Assign) or not isinstance(made, ast.Call):
                    continue
                names = {file.segment(t).rpartition(".")[2] for t in node.targets}
                if not names & owners:
                    continue
                api = _maker(file, made)
                if api is None or _has_timeout(made, api):
                    continue
                limit = _with_timeout(made, api, seconds)
                title = f"make `{min(names)}` with a timeout of {seconds} s"
                near = 1.0 if file is scene.file else 0.8
                yield scene.draft(limit, title=title, weight=1.25 * near, file=file)
                yield from self._answered(scene, file, limit, title, near)

    @staticmethod
    def _answered(
        scene: Scene, file: SourceFile, limit: Edit, title: str, near: float
    ) -> Iterator[Draft]:
        """With the timeout, the answer to its end: as the project answers a failed upstream."""
        anchor = anchor_of(scene.file, scene.statement)
        if anchor is None or _inside_try(scene):
            return
        words = ("timeout", "upstream", "unavailable")
        for refusal in refusals(
            scene.conventions,
            scene.file,
            scene.function,
            (504, 503, 502),
            "it took too long",
            words,
        ):
            code, clause = refusal.code, "except TimeoutError:"
            if code.startswith("raise ") and "\n" not in code:
                code, clause = f"{code} from error", "except TimeoutError as error:"
            wrapped = f"try:\n    {BODY}\n{clause}\n{indented(code)}\n"
            edits = [(scene.file.path, replace_statements([anchor], wrapped)), (file.path, limit)]
            edits += [(scene.file.path, edit) for edit in refusal.imports]
            yield Draft(
                tuple(edits),
                f"{title}, then {refusal.title}",
                near * refusal.weight,
                line=anchor.lineno,
            )
            return


def _maker(file: SourceFile, call: ast.Call) -> Api | None:
    """The timeout of a constructor, by its module or by its well-known name."""
    name = called_name(call)
    if isinstance(call.func, ast.Attribute):
        module = file.segment(call.func.value).rpartition(".")[2]
        return BY_MODULE.get(module, {}).get(name)
    if not name[:1].isupper():
        return None
    return next((calls[name] for calls in BY_MODULE.values() if name in calls), None)


class LimitLock(Rule):
    """Waits for a lock only so long, and says so instead of standing still for ever."""

    name = "limit_lock"
    strategy = STRATEGY
    kinds = frozenset({"stall"})
    examples = (
        Example(
            before="""
                import threading

                LOCK = threading.Lock()


                def f():
                    LOCK.acquire()  # <- here
                    LOCK.release()
                """,
            after="""
                import threading

                LOCK = threading.Lock()


                def f():
                    if not LOCK.acquire(timeout=5):  # <- here
                        raise TimeoutError("LOCK was not free within 5 s")
                    LOCK.release()
                """,
            kind="stall",
        ),
        Example(
            before="""
                import threading

                LOCK = threading.Lock()


                def f():
                    with LOCK:  # <- here
                        pass
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        statement = scene.statement
        if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
            return
        call = statement.value
        if called_name(call) != "acquire" or call.args or call.keywords:
            return
        assert isinstance(call.func, ast.Attribute)
        lock, seconds = scene.text(call.func.value), timeout_value(scene)
        trailing = scene.file.lines[statement.lineno - 1][statement.end_col_offset or 0 :].rstrip()
        code = (
            f"if not {lock}.acquire(timeout={seconds}):{trailing}\n"
            f'    raise TimeoutError("{lock} was not free within {seconds} s")\n'
        )
        yield scene.draft(
            replace_statements([statement], code),
            title=f"give up on `{lock}` after {seconds} s",
            weight=0.6,
            risk="medium",
        )


RULES: tuple[Rule, ...] = (
    LimitCallAndAnswer(),
    LimitCall(),
    LimitAwait(),
    LimitSocket(),
    LimitMaker(),
    LimitLock(),
)
