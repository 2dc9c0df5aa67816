"""Sentry's wire format: errors become occurrences, transactions become requests.

A service that carries an SDK of Sentry needs no more than a DSN that points at the sink:
`http://key@127.0.0.1:PORT/1`. The format is that of develop.sentry.dev: an envelope is a line
of JSON, then items, each a line of JSON and a payload of the length it names.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from selfheal_agent.scrub import SCRUBBED, is_secret_name, scrub_text
from selfheal_engine.model import Frame, Occurrence, RequestRecord, Value
from selfheal_engine.project import Project
from selfheal_engine.sources.printed import frame_of, occurrence_of
from selfheal_engine.sources.tellings import Request, Telling, as_list, as_map, as_number, as_text
from selfheal_engine.sources.traceback_format import ParsedFrame, ParsedTraceback

MAX_LOCALS = 40
MAX_CHILDREN = 16
MAX_DEPTH = 3
MAX_TEXT = 200
MAX_BODY = 20_000
_FAILED = frozenset(
    {"internal_error", "unknown_error", "data_loss", "unavailable", "unimplemented"}
)
_REPORTED = frozenset({"", "error", "fatal"})


def read_store(content: bytes) -> Iterator[dict[str, Any]]:
    """The event of the older endpoint. Raises ValueError."""
    yield as_map(json.loads(content))


def read_envelope(content: bytes) -> Iterator[dict[str, Any]]:
    """The events and transactions of an envelope. Raises ValueError."""
    _, _, rest = content.partition(b"\n")
    json.loads(content[: len(content) - len(rest)] or b"null")
    while rest.strip():
        line, _, rest = rest.partition(b"\n")
        if not line.strip():
            continue
        header = as_map(json.loads(line))
        length = header.get("length")
        if isinstance(length, int) and length >= 0:
            payload, rest = rest[:length], rest[length:].removeprefix(b"\n")
        else:
            payload, _, rest = rest.partition(b"\n")
        if header.get("type") in ("event", "transaction"):
            event = as_map(json.loads(payload))
            yield {**event, "type": header["type"]}


def telling_of(event: dict[str, Any], project: Project, pid: int) -> Telling:
    """What one event or transaction tells."""
    if event.get("type") == "transaction":
        request = _transaction(event)
        return Telling((), (request,) if request is not None else ())
    occurrence = _occurrence(event, project, pid)
    return Telling((occurrence,) if occurrence is not None else ())


# ------------------------------------------------------------ errors
def _occurrence(event: dict[str, Any], project: Project, pid: int) -> Occurrence | None:
    exception = event.get("exception")
    values = as_list(as_map(exception).get("values") if isinstance(exception, dict) else exception)
    values = [as_map(value) for value in values if as_map(value).get("type")]
    if not values:
        return None
    links = [_parsed(value) for value in reversed(values)]  # they come oldest first
    main = links[0]
    whole = ParsedTraceback(
        main.exception,
        main.message,
        main.frames,
        tuple(links[1:]),
        thread=_crashed_thread(event, values[-1]),
    )
    time_s = seconds(event.get("timestamp")) or time.time()
    found = occurrence_of(whole, project, pid, "sentry", time_s)
    if found is None:
        return None
    return replace(
        found,
        frames=_frames(values[-1], project),
        chain=tuple(
            replace(link, frames=_frames(value, project))
            for link, value in zip(found.chain, reversed(values[:-1]), strict=False)
        ),
        request=_request(event),
        handled=as_text(event.get("level")) not in _REPORTED,
    )


def _parsed(value: dict[str, Any]) -> ParsedTraceback:
    module, name = as_text(value.get("module")), as_text(value.get("type"))
    qualified = name if module in ("", "builtins", "__builtin__") else f"{module}.{name}"
    frames = tuple(_printed(frame) for frame in _stack(value))
    return ParsedTraceback(qualified, as_text(value.get("value")), frames)


def _stack(value: dict[str, Any]) -> list[dict[str, Any]]:
    stack = as_map(value.get("stacktrace")) or as_map(value.get("raw_stacktrace"))
    frames = [as_map(frame) for frame in as_list(stack.get("frames"))]
    return [frame for frame in frames if frame.get("abs_path") or frame.get("filename")]


def _printed(frame: dict[str, Any]) -> ParsedFrame:
    return ParsedFrame(
        as_text(frame.get("abs_path")) or as_text(frame.get("filename")),
        int(as_number(frame.get("lineno"))),
        as_text(frame.get("function")) or "<module>",
        as_text(frame.get("context_line")).strip(),
    )


def _frames(value: dict[str, Any], project: Project) -> tuple[Frame, ...]:
    found: list[Frame] = []
    for plain in _stack(value):
        frame = frame_of(_printed(plain), project, as_text(plain.get("module")))
        variables = as_map(plain.get("vars"))
        shown = tuple(
            (name, value_of(variable, name))
            for name, variable in list(variables.items())[:MAX_LOCALS]
        )
        found.append(replace(frame, locals=shown if frame.own else ()))
    return tuple(found[-120:])


def _crashed_thread(event: dict[str, Any], value: dict[str, Any]) -> str:
    """Name of the thread whose end this was, "" when it did not end a thread."""
    if as_text(as_map(value.get("mechanism")).get("type")) != "threading":
        return ""
    threads = [as_map(t) for t in as_list(as_map(event.get("threads")).get("values"))]
    return next((as_text(t.get("name")) for t in threads if t.get("crashed")), "") or "thread"


def value_of(plain: object, name: str = "", depth: int = MAX_DEPTH) -> Value:
    """A variable as the SDK told it: text is a repr, containers are JSON."""
    if is_secret_name(name):
        return Value("str", SCRUBBED)
    if isinstance(plain, dict):
        items = list(plain.items())[:MAX_CHILDREN] if depth else []
        children = tuple((key, value_of(item, key, depth - 1)) for key, item in items)
        return Value("dict", "", len(plain), children, len(plain) > len(children))
    if isinstance(plain, list):
        items_ = plain[:MAX_CHILDREN] if depth else []
        children = tuple((str(i), value_of(item, "", depth - 1)) for i, item in enumerate(items_))
        return Value("list", "", len(plain), children, len(plain) > len(children))
    if not isinstance(plain, str):
        return Value(type(plain).__name__, "" if plain is None else repr(plain))
    return _represented(plain)


def _represented(text: str) -> Value:
    kind = "object"
    if text == "None":
        return Value("NoneType", "None")
    if text in ("True", "False"):
        kind = "bool"
    elif text[:1] in "'\"" and text[-1:] == text[:1] and len(text) > 1:
        kind = "str"
    elif text[:2] in ("b'", 'b"'):
        kind = "bytes"
    elif text.lstrip("-").isdigit():
        kind = "int"
    elif text.startswith("<"):
        kind = text[1:].partition(" ")[0].rstrip(">") or kind
    shown = scrub_text(text)
    return Value(kind, shown[:MAX_TEXT], truncated=len(shown) > MAX_TEXT)


def _request(event: dict[str, Any]) -> RequestRecord | None:
    told = as_map(event.get("request"))
    if not told.get("url"):
        return None
    rest = as_text(told["url"]).partition("://")[2] or as_text(told["url"])
    path = "/" + rest.partition("/")[2].partition("?")[0]
    headers = told.get("headers")
    pairs = headers.items() if isinstance(headers, dict) else [
        (pair[0], pair[1]) for pair in as_list(headers) if isinstance(pair, list) and len(pair) == 2
    ]  # fmt: skip
    body = told.get("data")
    text = body if isinstance(body, str) else json.dumps(_without_secrets(body)) if body else ""
    encoded = scrub_text(text).encode()
    return RequestRecord(
        method=as_text(told.get("method")) or "GET",
        path=path,
        query=scrub_text(as_text(told.get("query_string"))),
        headers=tuple(
            (str(k), SCRUBBED if is_secret_name(str(k)) else scrub_text(str(v))) for k, v in pairs
        ),
        body=encoded[:MAX_BODY],
        body_truncated=len(encoded) > MAX_BODY,
        route=as_text(event.get("transaction")),
        status=500,
    )


def _without_secrets(plain: object, depth: int = 8) -> object:
    if isinstance(plain, dict) and depth:
        return {
            key: SCRUBBED if is_secret_name(str(key)) else _without_secrets(item, depth - 1)
            for key, item in plain.items()
        }
    if isinstance(plain, list) and depth:
        return [_without_secrets(item, depth - 1) for item in plain]
    return plain


# ------------------------------------------------------------ requests
def _transaction(event: dict[str, Any]) -> Request | None:
    contexts = as_map(event.get("contexts"))
    trace = as_map(contexts.get("trace"))
    if not as_text(trace.get("op")).startswith("http.server"):
        return None
    begin, end = seconds(event.get("start_timestamp")), seconds(event.get("timestamp"))
    if begin is None or end is None:
        return None
    traced = as_map(trace.get("data"))
    tags = event.get("tags")
    told = (
        as_map(contexts.get("response")).get("status_code"),
        traced.get("http.response.status_code"),
        traced.get("http.status_code"),
        tags.get("http.status_code") if isinstance(tags, dict) else None,
    )
    status = next((int(as_number(code)) for code in told if as_number(code)), 0)
    failed = status >= 500 if status else as_text(trace.get("status")) in _FAILED
    method = as_text(as_map(event.get("request")).get("method"))
    route = as_text(event.get("transaction")) or "(unnamed)"
    named = route if not method or route.startswith(method) else f"{method} {route}"
    return Request(named, failed, max(0.0, end - begin))


def seconds(plain: object) -> float | None:
    """A timestamp of Sentry, Unix seconds or RFC 3339, as Unix seconds."""
    if isinstance(plain, (int, float)) and not isinstance(plain, bool):
        return float(plain)
    if not isinstance(plain, str):
        return None
    try:
        moment = datetime.fromisoformat(plain)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
