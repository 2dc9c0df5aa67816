"""From reproducers and good calls to worker steps, and from outcomes to findings."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from selfheal_engine.model import GoodCall, Occurrence, Reproducer, RequestRecord
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator.jobs import Outcome

GOOD_CALLS_AT_MOST = 40
_TIMEOUT_S = {"stall": 3.0, "growth": 20.0, "interleaving": 60.0}
"""Seconds for one replay; a stall's limits run faster inside, so 3 s stand for a minute."""
DEFAULT_TIMEOUT_S = 15.0
SHORTEST_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Fault:
    """How a reproducer's run ended, seen as a bug report."""

    present: bool
    known: bool = True
    """False when the run says nothing: the recording could not be brought back to life."""
    text: str = ""


def step_for(
    number: int,
    reproducer: Reproducer,
    goods: Iterable[GoodCall],
    project: Project,
    before: Outcome | None = None,
) -> dict[str, Any]:
    """The worker's step for one reproducer; `before` is how it ended on the unpatched tree."""
    step: dict[str, Any] = {
        "id": f"reproducer{number}",
        "kind": reproducer.kind,
        "module": reproducer.module,
        "file": reproducer.file,
        "functions": list(reproducer.functions),
        "function": reproducer.functions[0] if reproducer.functions else "",
        "arguments": reproducer.arguments[0] if reproducer.arguments else "",
        "all_arguments": list(reproducer.arguments),
        "crash_file": reproducer.crash_file,
        "crash_line": reproducer.crash_line,
        "crash_function": reproducer.crash_function,
        "timeout_s": _TIMEOUT_S.get(reproducer.kind) or patience(before),
        "goods": [
            {"function": good.function, "file": good.file, "arguments": good.arguments}
            for good in goods
            if not good.raised
        ][:GOOD_CALLS_AT_MOST],
    }
    if reproducer.kind == "statement":
        with contextlib.suppress(OSError, UnicodeDecodeError):
            step["original"] = project.read(reproducer.crash_file).decode()
    if reproducer.kind == "growth" and before is not None:
        step["slopes"] = before.get("slopes", {})
    if reproducer.request is not None:
        step.update(request_step(reproducer.request))
    return step


def batch(steps: Sequence[dict[str, Any]], before: Outcome | None) -> list[dict[str, Any]]:
    """The steps as one, run one after the other in a single process."""
    if not steps:
        return []
    limit = patience(before)
    return [{"id": "goods", "kind": "batch", "calls": list(steps), "timeout_s": limit}]


def patience(before: Outcome | None) -> float:
    """Seconds for a replay: twenty times what the unpatched tree took, within bounds."""
    seconds = float((before or {}).get("seconds", DEFAULT_TIMEOUT_S))
    return min(DEFAULT_TIMEOUT_S, max(SHORTEST_TIMEOUT_S, 20 * seconds))


def request_step(request: RequestRecord) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": [list(pair) for pair in request.headers],
        "body": base64.b64encode(request.body).decode(),
        "app": request.app,
    }


def good_steps(occurrence: Occurrence, project: Project) -> list[dict[str, Any]]:
    """Steps that replay the calls that went well."""
    steps = []
    for number, good in enumerate(occurrence.good_calls[:GOOD_CALLS_AT_MOST]):
        module = module_of(project, good.file)
        if module and good.arguments:
            steps.append(
                {
                    "id": f"good{number}",
                    "kind": "call",
                    "module": module,
                    "function": good.function,
                    "arguments": good.arguments,
                    "timeout_s": 5.0,
                }
            )
    return steps


def module_of(project: Project, file: str) -> str:
    """Dotted name under which the project imports a file, "" when it cannot be told."""
    relative = project.relative(file)
    if relative is None or not relative.endswith(".py"):
        return ""
    path = (project.root / relative).resolve()
    folders = [project.root.resolve().joinpath(p).resolve() for p in project.import_paths]
    for folder in sorted(folders or [project.root.resolve()], key=lambda f: -len(f.parts)):
        if path.is_relative_to(folder):
            parts = list(path.relative_to(folder).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            return ".".join(parts)
    return ""


def fault(reproducer: Reproducer, outcome: Outcome) -> Fault:
    """Whether the recorded bug shows in this run."""
    ended = outcome["ended"]
    if ended == "unknown":
        return Fault(False, False, str(outcome.get("why", "the recording cannot be replayed")))
    if ended == "died":
        return Fault(True, True, "the replay ended without saying how")
    if ended == "timeout":
        stall = "it waits for a silent peer without a limit"
        text = stall if reproducer.kind == "stall" else "the replay did not come to an end"
        return Fault(True, True, text)
    if ended == "raised":
        text = f"{outcome['exception']}: {outcome.get('message', '')}".rstrip(": ")
        place = (outcome.get("frames") or [["", 0, ""]])[-1]
        return Fault(True, True, f"{text} at {place[0]}:{place[1]}" if place[0] else text)
    if outcome.get("status", 200) >= 500:
        return Fault(True, True, f"the request is answered with {outcome['status']}")
    if outcome.get("fault"):
        return Fault(True, True, str(outcome["fault"]))
    return Fault(False)


def same_fault(reproducer: Reproducer, outcome: Outcome) -> bool:
    """The same kind of fault at the same place: exception class and crashing function."""
    ended = outcome["ended"]
    if reproducer.kind in ("growth", "interleaving"):
        return bool(outcome.get("fault")) or ended in ("timeout", "raised")
    if reproducer.kind == "stall":
        return ended == "timeout" or bool(outcome.get("fault"))
    if ended != "raised":
        return reproducer.kind == "request" and outcome.get("status", 0) >= 500
    if reproducer.exception and not same_name(outcome["exception"], reproducer.exception):
        return False
    if not reproducer.crash_function or reproducer.kind == "statement":
        return True
    wanted = reproducer.crash_function.rpartition(".")[2]
    return any(
        name.rpartition(".")[2] == wanted
        and (not reproducer.crash_file or file == reproducer.crash_file)
        for file, _, name in outcome.get("frames", [])
    )


def same_name(one: str, other: str) -> bool:
    """Exception names match when equal, or equal without the module where one has none."""
    if one == other:
        return True
    short = ("." in one) != ("." in other)
    return short and one.rpartition(".")[2] == other.rpartition(".")[2]


_COMPARED = ("ended", "value", "effects", "exception", "status", "type", "body")


def leaves(outcome: Outcome) -> dict[str, str]:
    """An outcome taken apart: path -> leaf, so that two runs can be compared piece by piece."""
    found: dict[str, str] = {}
    for key in _COMPARED:
        if key in outcome:
            _flatten(key, _parsed(key, outcome[key]), found)
    return found


def _parsed(key: str, value: Any) -> Any:
    """Recordings are JSON text, response bodies often are."""
    if key == "body":
        value = base64.b64decode(value).decode(errors="replace")
    try:
        return json.loads(value) if key in ("value", "effects", "body") else value
    except ValueError:
        return value


def _flatten(path: str, value: Any, found: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _flatten(f"{path}.{key}", item, found)
    elif isinstance(value, list) and value:
        found[f"{path}.length"] = str(len(value))
        for number, item in enumerate(value):
            _flatten(f"{path}[{number}]", item, found)
    else:
        found[path] = json.dumps(value)


def stable(first: Outcome, again: Outcome) -> dict[str, str]:
    """The leaves that two runs of the same code agree on: times and random ids drop out."""
    one, two = leaves(first), leaves(again)
    return {path: leaf for path, leaf in one.items() if two.get(path) == leaf}


def difference(wanted: dict[str, str], outcome: Outcome) -> str:
    """The first stable leaf that this run does not share, in words; "" when all agree."""
    now = leaves(outcome)
    for path, leaf in wanted.items():
        if now.get(path) != leaf:
            return f"{path} is {now.get(path, 'gone')[:80]}, was {leaf[:80]}"
    return ""


def shape(text: str) -> str:
    """The outermost kind of a recorded value: what a caller relies on first."""
    try:
        node = json.loads(text)
    except ValueError:
        return ""
    if isinstance(node, dict):
        tag = str(node.get("$", ""))
        return ".".join(node["c"]) if "c" in node else tag
    return type(node).__name__
