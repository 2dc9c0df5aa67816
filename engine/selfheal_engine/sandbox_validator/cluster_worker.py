"""What a cluster's worker does: one candidate of a project, judged behind the worker's own wall.

An order holds everything in plain JSON, so it may come twice or on another worker and the
answer is the same. The tree comes separately, once, under its hash. A worker that cannot
isolate, or lacks what the service needs, says "infrastructure" and runs nothing.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from selfheal_engine.codec import from_plain, to_plain
from selfheal_engine.config import Settings
from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import Candidate, Diagnosis, Occurrence, Verdict
from selfheal_engine.project import Project, sha256
from selfheal_engine.sandbox_validator.trees import Trees
from selfheal_engine.sandbox_validator.validator import SandboxValidator
from selfheal_engine.sandbox_validator.wall import level

KEPT_AT_MOST = 2
"""Validators that stay open, with their baseline and warm server."""
CARRIED = (
    "sandbox_memory_mb",
    "sandbox_disk_mb",
    "sandbox_processes",
    "sandbox_paths",
    "test_timeout_s",
    "test_budget_s",
)
"""Settings that decide a verdict; the others are the worker's own business."""


def order_for(
    project: Project,
    settings: Settings,
    tree: str,
    diagnosis: Diagnosis,
    occurrence: Occurrence,
) -> dict[str, Any]:
    """All of an order but the candidate: the same for every patch of one bug."""
    return {
        "version": version("selfheal-tui"),
        "tree": tree,
        "root": str(project.root),
        "python": project.python,
        "tests": list(project.tests),
        "import_paths": list(project.import_paths),
        "settings": {name: to_plain(getattr(settings, name)) for name in CARRIED},
        "diagnosis": to_plain(diagnosis),
        "occurrence": to_plain(occurrence),
    }


def receive(digest: str, packed: bytes) -> bool:
    """Keep a tree. Runs on the worker."""
    _trees().receive(digest, packed)
    return True


def judge(order_text: str, candidate_text: str) -> str:
    """The answer to one order, as JSON. Runs on the worker.

    {"verdict": ...}, or {"lacking": worker's address} when the tree has to be sent first.
    """
    order, plain = json.loads(order_text), json.loads(candidate_text)
    tree = _trees().find(order["tree"])
    if tree is None:
        return json.dumps({"lacking": _address()})
    order = moved(order, order["root"], str(tree), leave=("python",))
    candidate = from_plain(Candidate, plain)
    try:
        verdict = _judge(sha256(order_text.encode()), order, tree, candidate)
    except (SelfhealError, OSError) as why:
        verdict = Verdict(candidate.id, (), None, plausible=False, infrastructure=str(why))
    return json.dumps({"verdict": moved(to_plain(verdict), str(tree), order["origin"])})


def moved(plain: Any, old: str, new: str, leave: tuple[str, ...] = ()) -> Any:
    """`plain` with the project's folder `old` replaced by `new` wherever it is named.

    Mappings' entries under a key of `leave` stay; the old folder is kept as "origin" beside
    "root", so that the answer can be given in the sender's paths.
    """
    whole = re.compile(rf"(?<![\w./-]){re.escape(old)}(?![\w.-])")

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return whole.sub(lambda _: new, value)
        if isinstance(value, list):
            return [walk(item) for item in value]
        if isinstance(value, dict):
            return {key: item if key in leave else walk(item) for key, item in value.items()}
        return value

    result = plain if len(old) < 2 else walk(plain)
    if isinstance(result, dict) and "root" in result:
        result = {**result, "root": new, "origin": old}
    return result


def _judge(name: str, order: dict[str, Any], tree: Path, candidate: Candidate) -> Verdict:
    isolation = level()
    lacking = ""
    if isolation.tier >= 3:
        lacking = f"a worker cannot isolate: {isolation.note}; {isolation.fix}"
    elif order["version"] != version("selfheal-tui"):
        lacking = f"a worker runs version {version('selfheal-tui')}, not {order['version']}"
    elif not os.access(order["python"], os.X_OK):
        lacking = f"a worker has no interpreter at {order['python']}"
    else:
        absent = [p for p in order["settings"]["sandbox_paths"] if not os.path.exists(p)]
        lacking = f"a worker has no {', '.join(absent)}" if absent else ""
    if lacking:
        return Verdict(
            candidate.id, (), None, plausible=False, tier=isolation.tier, infrastructure=lacking
        )
    bench = _benches.take(name)
    try:
        return bench.judge(order, tree, candidate)
    finally:
        _benches.give_back(bench)


@dataclass(slots=True)
class _Bench:
    """One project and one bug with its validator, used by several threads."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    validator: SandboxValidator | None = None
    ready: bool = False

    def judge(self, order: dict[str, Any], tree: Path, candidate: Candidate) -> Verdict:
        diagnosis = from_plain(Diagnosis, order["diagnosis"])
        occurrence = from_plain(Occurrence, order["occurrence"])
        with self.lock:  # the baseline is learned once; the others wait for it
            if self.validator is None:
                carried = {**order["settings"]}
                carried["sandbox_paths"] = tuple(carried["sandbox_paths"])
                settings = Settings(**carried, state_dir=str(_folder() / "state"))
                paths = tuple(order["import_paths"])
                project = Project(tree, order["python"], tuple(order["tests"]), paths)
                self.validator = SandboxValidator(project, settings)
            if not self.ready:
                self.validator.baseline(diagnosis, occurrence)
                self.ready = True
        heard = self.validator.validate([candidate], diagnosis, occurrence, lambda verdict: None)
        return heard[0]

    def close(self) -> None:
        if self.validator is not None:
            self.validator.close()


class _Benches:
    """The benches in use and the last few that were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Bench] = OrderedDict()

    def take(self, name: str) -> _Bench:
        with self._lock:
            bench = self._open.setdefault(name, _Bench())
            self._open.move_to_end(name)
            bench.users += 1
            return bench

    def give_back(self, bench: _Bench) -> None:
        with self._lock:
            bench.users -= 1
            idle = [name for name, one in self._open.items() if not one.users]
            surplus = idle[: max(0, len(self._open) - KEPT_AT_MOST)]
            old = [self._open.pop(name) for name in surplus]
        for one in old:
            one.close()

    def close(self) -> None:
        with self._lock:
            old = list(self._open.values())
            self._open.clear()
        for one in old:
            one.close()


_benches = _Benches()
atexit.register(_benches.close)


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "selfheal-tui" / "worker"


def _trees() -> Trees:
    return Trees(_folder() / "trees")


def _address() -> str:
    # imported by name: an extra that most installations do not have
    distributed: Any = importlib.import_module("distributed")
    return str(distributed.get_worker().address)
