"""What kind of bug is it? Ranked types with the evidence in words.

Every clue adds weight to some types (log-odds, as in a naive Bayes classifier: Duda, Hart &
Stork, Pattern Classification, ch. 2); the ranking is their softmax. The types are the
families of patches, and three that no patch of the service's code can mend: capacity,
upstream, deploy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from selfheal_engine.model import STRATEGIES, Alert, Occurrence

BUG_TYPES = (*STRATEGIES, "capacity", "upstream", "deploy")


@dataclass(frozen=True, slots=True)
class RankedType:
    """One bug type, how likely it is among all, and what speaks for it."""

    bug_type: str
    probability: float
    evidence: tuple[str, ...] = ()


_KINDS: dict[str, tuple[tuple[str, float], ...]] = {
    "syntax": (("syntax_fix", 6.0),),
    "stall": (("timeout_guard", 4.0), ("race_condition_fix", 1.5), ("upstream", 1.5)),
    "deadlock": (("race_condition_fix", 6.0),),
    "leak": (("memory_leak_fix", 5.0), ("resource_cleanup", 1.5)),
    "resource": (("resource_cleanup", 5.0),),
    "thread_death": (("error_handling", 2.0),),
    "log": (("error_handling", 1.0),),
}
_KIND_WORDS = {
    "syntax": "a module does not compile",
    "stall": "a call does not return",
    "deadlock": "threads wait for each other",
    "leak": "memory grows at one place",
    "resource": "something opened is never closed",
    "thread_death": "a worker thread ended by an exception",
    "log": "an error was logged without an exception",
}
_EXCEPTIONS: dict[str, tuple[tuple[str, float], ...]] = {
    "SyntaxError": (("syntax_fix", 6.0),),
    "IndentationError": (("syntax_fix", 6.0),),
    "TabError": (("syntax_fix", 6.0),),
    "ImportError": (("syntax_fix", 3.0), ("deploy", 2.0)),
    "ModuleNotFoundError": (("deploy", 3.0), ("syntax_fix", 2.0)),
    "NameError": (("syntax_fix", 3.5), ("logic_correction", 1.0)),
    "UnboundLocalError": (("logic_correction", 3.0), ("syntax_fix", 1.0)),
    "AttributeError": (("logic_correction", 1.5), ("null_check", 1.0)),
    "TypeError": (("logic_correction", 1.5), ("null_check", 1.0), ("error_handling", 0.5)),
    "KeyError": (("error_handling", 2.5), ("logic_correction", 1.0), ("null_check", 0.5)),
    "IndexError": (("logic_correction", 2.5), ("error_handling", 1.5)),
    "ValueError": (("error_handling", 2.5), ("logic_correction", 1.0)),
    "UnicodeDecodeError": (("error_handling", 3.0),),
    "JSONDecodeError": (("error_handling", 3.5),),
    "ZeroDivisionError": (("logic_correction", 2.5), ("error_handling", 1.5)),
    "AssertionError": (("logic_correction", 2.5),),
    "RecursionError": (("logic_correction", 4.0),),
    "StopIteration": (("error_handling", 2.5),),
    "MemoryError": (("memory_leak_fix", 3.0), ("capacity", 2.0)),
    "TimeoutError": (("timeout_guard", 2.5), ("upstream", 2.0)),
    "ConnectionError": (("upstream", 3.0), ("error_handling", 2.0)),
    "ConnectionRefusedError": (("upstream", 3.0), ("error_handling", 2.0)),
    "ConnectionResetError": (("upstream", 2.5), ("error_handling", 2.5)),
    "BrokenPipeError": (("error_handling", 3.0),),
    "FileNotFoundError": (("error_handling", 3.0), ("deploy", 1.0)),
    "PermissionError": (("deploy", 2.0), ("error_handling", 2.0)),
    "ResourceWarning": (("resource_cleanup", 5.0),),
    "RuntimeError": (("race_condition_fix", 0.5), ("logic_correction", 0.5)),
}
_MESSAGES: tuple[tuple[re.Pattern[str], str, tuple[tuple[str, float], ...]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), words, weights)
    for pattern, words, weights in (
        (r"\bNoneType\b", "the value was None", (("null_check", 4.5),)),
        (
            r"too many open files|errno 24\b|EMFILE",
            "no file descriptor was left",
            (("resource_cleanup", 5.0), ("capacity", 1.0)),
        ),
        (
            r"can't start new thread|cannot allocate memory|no space left on device",
            "the machine had nothing left to give",
            (("capacity", 3.0), ("resource_cleanup", 2.0), ("memory_leak_fix", 1.0)),
        ),
        (
            r"pool.{0,40}(limit|exhaust|timed? ?out|overflow)|too many connections",
            "the pool was exhausted",
            (("resource_cleanup", 4.0), ("capacity", 2.0)),
        ),
        (
            r"changed (size )?during iteration|mutated during iteration",
            "a container changed while it was read",
            (("race_condition_fix", 4.5), ("logic_correction", 1.0)),
        ),
        (
            r"database is locked|deadlock|could not obtain lock|lock wait",
            "a lock could not be had",
            (("race_condition_fix", 3.0), ("timeout_guard", 1.0)),
        ),
        (
            r"timed? ?out|deadline exceeded",
            "it waited too long",
            (("timeout_guard", 1.5), ("upstream", 2.0)),
        ),
        (
            r"name or service not known|connection refused|max retries exceeded"
            r"|bad gateway|service unavailable",
            "a service it depends on did not answer",
            (("upstream", 3.5), ("error_handling", 1.5)),
        ),
        (
            r"takes \d+ positional|unexpected keyword|missing \d+ required",
            "a call does not fit the function's parameters",
            (("logic_correction", 3.0), ("deploy", 1.0)),
        ),
        (
            r"unsupported operand|not supported between|can only concatenate|must be str",
            "the operands' types do not fit",
            (("logic_correction", 1.5),),
        ),
        (
            r"closed (file|connection|cursor)|already closed",
            "it was used after it was closed",
            (("resource_cleanup", 2.5), ("race_condition_fix", 1.5)),
        ),
    )
)


def infer_types(
    occurrence: Occurrence | None, alerts: Iterable[Alert] = ()
) -> tuple[RankedType, ...]:
    """All types that anything speaks for, most likely first; empty when nothing does."""
    weights: dict[str, float] = {}
    evidence: dict[str, list[str]] = {}

    def clue(words: str, for_types: Iterable[tuple[str, float]]) -> None:
        for bug_type, weight in for_types:
            weights[bug_type] = weights.get(bug_type, 0.0) + weight
            if words not in evidence.setdefault(bug_type, []):
                evidence[bug_type].append(words)

    if occurrence is not None:
        _weigh_occurrence(occurrence, clue)
    seen = set()
    for alert in alerts:
        kind = alert.detector.partition(":")[2] or alert.detector
        if (kind, alert.metrics) not in seen:
            seen.add((kind, alert.metrics))
            _weigh_alert(kind, alert, clue)
    return _ranked(weights, evidence)


def _weigh_occurrence(occurrence: Occurrence, clue: _Clue) -> None:
    if occurrence.kind in _KINDS:
        clue(_KIND_WORDS[occurrence.kind], _KINDS[occurrence.kind])
    name = occurrence.exception.rpartition(".")[2]
    if name in _EXCEPTIONS:
        clue(f"it raised {name}", _EXCEPTIONS[name])
    elif "Timeout" in name:
        clue(f"it raised {name}", (("timeout_guard", 2.0), ("upstream", 2.5)))
    elif name:
        clue(f"it raised {name}", (("error_handling", 2.0),))
    for pattern, words, for_types in _MESSAGES:
        if pattern.search(occurrence.message):
            clue(words, for_types)
    crash = occurrence.crash
    none_there = crash is not None and any(
        value.is_none and _names(name, crash.source_line) for name, value in crash.locals
    )
    if none_there and "NoneType" not in occurrence.message:
        clue("a variable of the failing line is None", (("null_check", 1.5),))
    if occurrence.kind == "stall" and any(t.held_by for t in occurrence.threads):
        clue("a thread waits for a lock that another holds", (("race_condition_fix", 3.0),))


def _weigh_alert(kind: str, alert: Alert, clue: _Clue) -> None:
    from selfheal_engine.anomaly_detector.signatures import bug_types_of

    for_types = bug_types_of(kind)
    if for_types:
        clue(alert.text, for_types)
    elif kind == "leak":
        clue(alert.text, (("memory_leak_fix", 3.0), ("resource_cleanup", 1.0)))
    elif kind == "forecast" and "memory_usage" in alert.metrics:
        clue(alert.text, (("memory_leak_fix", 1.5), ("capacity", 1.0)))
    elif kind == "forecast":
        clue(alert.text, (("capacity", 1.5),))
    elif "deadlock_risk" in alert.metrics:
        clue(alert.text, (("race_condition_fix", 2.0), ("timeout_guard", 1.0)))
    elif "response_time" in alert.metrics or "queue_depth" in alert.metrics:
        clue(alert.text, (("timeout_guard", 0.7), ("capacity", 0.7), ("upstream", 0.7)))
    elif "memory_usage" in alert.metrics:
        clue(alert.text, (("memory_leak_fix", 1.0),))
    elif "error_rate" in alert.metrics:
        clue(alert.text, (("error_handling", 0.5),))


def _ranked(
    weights: Mapping[str, float], evidence: Mapping[str, list[str]]
) -> tuple[RankedType, ...]:
    if not weights:
        return ()
    top = max(weights.values())
    odds = {t: math.exp(w - top) for t, w in weights.items()}
    whole = sum(odds.values()) + (len(BUG_TYPES) - len(odds)) * math.exp(-top)
    ranked = [RankedType(t, o / whole, tuple(evidence[t])) for t, o in odds.items()]
    return tuple(sorted(ranked, key=lambda r: -r.probability))


def _names(name: str, source_line: str) -> bool:
    return bool(name) and re.search(rf"\b{re.escape(name)}\b", source_line) is not None


class _Clue(Protocol):
    """Signature of the function that adds one clue (for the type checker)."""

    def __call__(self, words: str, for_types: Iterable[tuple[str, float]]) -> None: ...
