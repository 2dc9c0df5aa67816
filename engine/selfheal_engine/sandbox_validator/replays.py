"""From reproducers and good calls to worker steps, and from outcomes to findings."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfheal_engine.model import Candidate, ConnectionRecord, Occurrence, Reproducer, RequestRecord
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import entry_scripts
from selfheal_engine.sandbox_validator.jobs import Outcome
from selfheal_engine.sandbox_validator.static_checks import original, python_files

GOOD_CALLS_AT_MOST = 40
GOOD_REQUESTS_AT_MOST = 16
EXCHANGES_AT_MOST = 8
WORDS_AT_MOST = 100
_CPU_S = {"growth": 20.0, "interleaving": 60.0}
"""CPU seconds that a replay of these kinds may take."""
SEEDS, FEWEST_SEEDS, SEEDS_FOR_ONE = 40, 12, 8
_STALLED_S = 3.0
"""Wall seconds after which the unpatched call counts as stalled; limits run twenty times faster
inside, so they stand for a minute. A patch is given several times as long: a busy machine must
not make it look stalled."""
DEFAULT_CPU_S = 15.0
SHORTEST_CPU_S = 3.0


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
    project: Project,
    occurrence: Occurrence,
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
        **limits_of(reproducer.kind, before),
        "scripts": entry_scripts.modules(reproducer, project, occurrence),
        "argv": list(occurrence.argv),
        "goods": [
            {"function": good.function, "file": good.file, "arguments": good.arguments}
            for good in occurrence.good_calls
            if not good.raised and good.arguments
        ][:GOOD_CALLS_AT_MOST],
    }
    if reproducer.kind in ("statement", "iteration"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            step["original"] = project.read(reproducer.crash_file).decode()
    if reproducer.kind == "interleaving":
        step["raises"] = reproducer.exception == "RuntimeError"
        step["seeds"] = _seeds(before)
    if reproducer.kind == "growth":
        if occurrence.kind == "leak" and reproducer.module and "." not in reproducer.module:
            step["scripts"].append(reproducer.module)  # a report's frames do not say what ran
        step["slopes"] = (before or {}).get("slopes", {})
        step["inputs"] = (before or {}).get("inputs", [])
        step["patched"] = before is not None
        # of what ran out only that counts: a little memory more is another matter
        step["handles_only"] = bool(reproducer.exception)
        step["good_requests"] = [
            request_step(good.request, project, occurrence)
            for good in occurrence.good_calls
            if good.request is not None and good.request.app
        ][:GOOD_REQUESTS_AT_MOST]
        step["connections"] = [_connection(one, project) for one in reproducer.connections]
        step["scripts"] += [
            project.module_of(one.file)
            for one in reproducer.connections
            if not one.module or one.module in entry_scripts.MAIN
        ]
    if reproducer.kind == "iteration":
        step["items"] = reproducer.arguments[-1]
    if reproducer.request is not None:
        step.update(request_step(reproducer.request, project, occurrence))
        step["kept"] = _kept(occurrence, project)
    if reproducer.kind in ("call", "request"):
        step.update(peer_of(occurrence))
    return step


def _connection(one: ConnectionRecord, project: Project) -> dict[str, Any]:
    return {
        "way": one.way,
        "module": project.module_of(one.file),
        "function": one.function,
        "arguments": list(one.arguments),
        "lasting": list(one.lasting),
        "sent": base64.b64encode(one.sent).decode(),
    }


def _seeds(before: Outcome | None) -> int:
    """In how many ways threads take turns: what one of the first ways shows needs no more of them
    to be seen gone.
    """
    if before is None or "seed" not in before:
        return SEEDS
    return min(SEEDS, max(FEWEST_SEEDS, SEEDS_FOR_ONE * (int(before["seed"]) + 1)))


def _kept(occurrence: Occurrence, project: Project) -> list[dict[str, str]]:
    """What the modules on the way to the failure kept: a request meets the state it met then."""
    return [
        {"module": project.module_of(frame.file), "arguments": frame.arguments}
        for frame in occurrence.frames
        if frame.own and '"globals"' in frame.arguments and project.module_of(frame.file)
    ]


def batch(steps: Sequence[dict[str, Any]], before: Outcome | None) -> list[dict[str, Any]]:
    """The steps as one, run one after the other in a single process."""
    if not steps:
        return []
    return [{"id": "goods", "kind": "batch", "calls": list(steps), **limits_of("batch", before)}]


def cost_step(
    goods: Sequence[dict[str, Any]], before: Outcome | None = None
) -> list[dict[str, Any]]:
    """Counts and repeats the good calls that are calls of one function.

    After `before`, the very calls that were measured then.
    """
    calls = _measured(goods, before)
    if not calls:
        return []
    step = {"id": "cost", "kind": "cost", "calls": calls, "all": before is not None}
    return [{**step, **limits_of("cost", None)}]


def _measured(goods: Sequence[dict[str, Any]], before: Outcome | None) -> list[dict[str, Any]]:
    calls = [step for step in goods if step["kind"] == "call"]
    if before is None:
        return calls
    return [calls[number] for number in before.get("measured", ()) if number < len(calls)]


def duel_step(
    goods: Sequence[dict[str, Any]], cost: Outcome, candidate: Candidate, project: Project
) -> list[dict[str, Any]]:
    """Times the good calls whose cost was measured, old code against new."""
    calls = _measured(goods, cost)
    before = {
        path: base64.b64encode(original(project, path)).decode() for path in python_files(candidate)
    }
    if not calls or not before:
        return []
    return [
        {"id": "duel", "kind": "duel", "calls": calls, "before": before, **limits_of("duel", None)}
    ]


def limits_of(kind: str, before: Outcome | None) -> dict[str, float]:
    """CPU seconds for a replay, twenty times what the unpatched tree took, and wall seconds.

    The wall limit only ends what waits for ever, and grows with the machine's load.
    """
    if kind == "stall":
        wall = _STALLED_S if before is None else 5 * _STALLED_S
        return {"timeout_s": wall, "wall_s": wall}
    seconds = float((before or {}).get("seconds", DEFAULT_CPU_S))
    usual = min(DEFAULT_CPU_S, max(SHORTEST_CPU_S, 20 * seconds))
    cpu = _CPU_S.get(kind, usual)
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return {"timeout_s": cpu, "wall_s": cpu * (2 + 3 * waiting)}


def neighbours_step(
    steps: Sequence[dict[str, Any]], before: Outcome | None = None
) -> list[dict[str, Any]]:
    """Runs inputs close to the first recorded call or request; [] when there is none."""
    for step in steps:
        call = step["kind"] == "call" and step["arguments"]
        if call or step["kind"] == "request":
            return [{**step, "id": "neighbours", "kind": "neighbours", **limits_of("", before)}]
    return []


_UPSTREAM_ANSWERS = (502, 503, 504)
"""Proper answers of a service whose peer failed, when it gives them on purpose."""
_NETWORK_FAULTS = (
    ("HTTPError", "http"),
    ("HTTPStatusError", "http"),
    ("ConnectionResetError", "reset"),
    ("RemoteDisconnected", "reset"),
    ("BadStatusLine", "reset"),
    ("JSONDecodeError", "garbled"),
    ("Timeout", "silent"),
    ("timeout", "silent"),
)


def peer_of(occurrence: Occurrence) -> dict[str, Any]:
    """Which peer makes a recorded network fault happen again; {} for every other fault."""
    names = [one.exception for one in (occurrence, *occurrence.chain)]
    for part, peer in _NETWORK_FAULTS:
        if any(part in name.rpartition(".")[2] for name in names):
            code = re.search(r"\b([45]\d\d)\b", occurrence.message)
            return {"peer": peer, "peer_status": int(code.group(1)) if code else 503}
    return {}


def request_step(
    request: RequestRecord, project: Project, occurrence: Occurrence
) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": [list(pair) for pair in request.headers],
        "body": base64.b64encode(request.body).decode(),
        "app": entry_scripts.application(request.app, project, occurrence),
    }


def good_steps(occurrence: Occurrence, project: Project) -> list[dict[str, Any]]:
    """Steps that replay the calls and the whole exchanges that went well."""
    steps: list[dict[str, Any]] = []
    grows = occurrence.kind == "leak"
    exchanges = 0
    for number, good in enumerate(occurrence.good_calls[:GOOD_CALLS_AT_MOST]):
        step = {"id": f"good{number}", "function": good.function}
        if good.request is not None:
            exchanges += 1
            refused = good.request.status >= 400  # whatever leaks, leaks there
            if not good.arguments and (refused or exchanges > EXCHANGES_AT_MOST):
                continue
            request = request_step(good.request, project, occurrence)
            steps.append({**step, "kind": "request", **request})
            continue
        module = project.module_of(good.file)
        if module and good.arguments:
            arguments = {"module": module, "arguments": good.arguments, "grows": grows}
            steps.append({**step, "kind": "call", **arguments})
    return steps


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
    status = outcome.get("status", 200)
    if status >= 500 and not (outcome.get("peer") and status in _UPSTREAM_ANSWERS):
        return Fault(True, True, f"the request is answered with {outcome['status']}")
    if outcome.get("fault"):
        return Fault(True, True, str(outcome["fault"]))
    return Fault(False)


def same_fault(reproducer: Reproducer, outcome: Outcome) -> bool:
    """The same kind of fault at the same place: exception class and crashing function.

    A function may raise the same class elsewhere too, as when it needs what a replay alone does
    not have: the line tells them apart, or the words where the line has moved.
    """
    ended = outcome["ended"]
    if reproducer.kind == "growth":
        return bool(outcome.get("fault"))
    if reproducer.kind == "interleaving":
        return bool(outcome.get("fault")) or ended == "timeout"
    if reproducer.kind == "stall":
        return ended == "timeout" or bool(outcome.get("fault"))
    if ended != "raised":
        return reproducer.kind == "request" and outcome.get("status", 0) >= 500
    if reproducer.exception and not same_name(outcome["exception"], reproducer.exception):
        return False
    same_words = outcome.get("message", "")[:WORDS_AT_MOST] == reproducer.message[:WORDS_AT_MOST]
    if not reproducer.crash_function or reproducer.kind == "statement":
        # one of another type than the recorded one comes from a value that is there in part only
        about_types = reproducer.kind == "statement" and reproducer.exception == "TypeError"
        return same_words or not about_types or not reproducer.message
    wanted = reproducer.crash_function.rpartition(".")[2]
    lines = [
        line
        for file, line, name in outcome.get("frames", [])
        if name.rpartition(".")[2] == wanted
        and (not reproducer.crash_file or file == reproducer.crash_file)
    ]
    if not reproducer.crash_line or not reproducer.message:
        return bool(lines)
    return bool(lines) and (same_words or reproducer.crash_line in lines)


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
    return still(leaves(first), again)


def still(wanted: dict[str, str], again: Outcome) -> dict[str, str]:
    """Those of the wanted leaves that one more run of the same code has."""
    now = leaves(again)
    return {path: leaf for path, leaf in wanted.items() if now.get(path) == leaf}


def difference(wanted: dict[str, str], outcome: Outcome) -> str:
    """The first stable leaf that this run does not share, in words; "" when all agree."""
    now = leaves(outcome)
    for path, leaf in wanted.items():
        if now.get(path) != leaf:
            return f"{path} is {now.get(path, 'gone')[:80]}, was {leaf[:80]}"
    return ""


def shape(text: str) -> str:
    """The outermost kind of a recorded value: what a caller relies on first."""
    return _shape(_node(text))


def _node(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _shape(node: Any) -> str:
    if isinstance(node, dict):
        tag = str(node.get("$", ""))
        return ".".join(node["c"]) if "c" in node else {"d": "dict"}.get(tag, tag)
    return "None" if node is None else type(node).__name__


def misfit(value: str, usual: Sequence[str]) -> str:
    """How a recorded value differs in shape from those that good calls give; "" when it fits.

    A dictionary must have the keys that all good ones share, a list elements of known kinds.
    """
    kinds = {shape(text) for text in usual}
    now = shape(value)
    if now not in kinds:
        return f"returns {now} where good calls return {' or '.join(sorted(kinds))}"
    node, others = _node(value), [_node(text) for text in usual if shape(text) == now]
    if now == "dict" and node.get("$") == "d":
        shared = set.intersection(*[set(o["v"]) if o.get("$") == "d" else set() for o in others])
        missing = sorted(shared - set(node["v"]))
        if missing:
            return f"returns a dict without {missing[0]!r}, which good calls always have"
        for name in sorted(shared):
            known = {_shape(other["v"][name]) for other in others}
            if _shape(node["v"][name]) not in known and len(others) > 1:
                return f"returns {_shape(node['v'][name])} for {name!r}, not {min(known)}"
    if now in ("list", "tuple"):
        items = [_shape(i) for o in others for i in _items(o)]
        strange = [kind for kind in map(_shape, _items(node)) if items and kind not in items]
        if strange:
            return f"returns {strange[0]} among elements that are {items[0]}"
    return ""


def _items(node: Any) -> list[Any]:
    found = node if isinstance(node, list) else node.get("v", [])
    return found if isinstance(found, list) else []
