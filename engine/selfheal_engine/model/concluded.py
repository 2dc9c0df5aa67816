"""What was concluded: diagnosis, candidates, verdicts, proposals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from selfheal_engine.model.caught import ConnectionRecord, RequestRecord
from selfheal_engine.model.vocabulary import Risk

ReproducerKind = Literal[
    "call",  # recorded arguments of a function of the project
    "request",  # recorded HTTP request through the WSGI or ASGI callable
    "statement",  # the crashing statement with the captured locals
    "import",  # importing the module fails
    "growth",  # repeated good calls or requests grow without bound
    "stall",  # a call against a peer that never answers does not return
    "interleaving",  # functions run at once deadlock or disagree
    "iteration",  # a call or request, while what it iterates over changes
    "test",  # a failing test of the project
]


@dataclass(frozen=True, slots=True)
class Reproducer:
    """Recorded input that makes the bug happen again in the sandbox, and how to know it did."""

    kind: ReproducerKind
    module: str = ""
    file: str = ""
    """Relative to the project."""
    functions: tuple[str, ...] = ()
    """Qualified names called; one, but for an interleaving."""
    arguments: tuple[str, ...] = ()
    """The probe's recording for each function, or the names and values of a statement's locals."""
    request: RequestRecord | None = None
    connections: tuple[ConnectionRecord, ...] = ()
    """Played again and again through the handler, for the kind "growth"."""
    test: str = ""
    """Test id for the kind "test"."""
    exception: str = ""
    message: str = ""
    """The exception's words, "" where they are not known."""
    crash_file: str = ""
    """Where the fault shows, relative to the project."""
    crash_line: int = 0
    crash_function: str = ""
    exact: bool = True
    """False where stand-ins replace values that could not be recorded whole."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A place where the bug may be; `score` in [0, 1], ranked, with the reason in words."""

    file: str
    """Path relative to the project."""
    line: int
    function: str
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What kind of bug it is, where, and why we think so."""

    bug_type: str
    """One of STRATEGIES, or "capacity", "upstream", "deploy", "unknown"."""
    ranked_types: tuple[tuple[str, float], ...]
    """(bug type, probability), most likely first."""
    suspects: tuple[Suspect, ...]
    summary: str
    """One or two sentences for the review: what is wrong, in the person's terms."""
    evidence: tuple[str, ...] = ()
    failing_expression: str = ""
    """Source text of the expression that was None or raised; "" where it cannot be told."""
    none_origin: str = ""
    """file:line and words where the bad value came from."""
    reproducers: tuple[Reproducer, ...] = ()
    """Strongest first; empty: nothing can be replayed."""
    ended_worker: bool = False
    """A thread has ended that was to work on: no patch brings it back, a new process does."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A patch. `diff` is unified, `-p1`, paths relative to the project; `files` the new texts."""

    id: str
    strategy: str
    template: str
    title: str
    """One line: what the patch does ("answer 422 when a guest has no address")."""
    diff: str
    files: tuple[tuple[str, bytes], ...]
    """(path relative to the project, whole new content) for every file it touches."""
    original_hashes: tuple[tuple[str, str], ...] = ()
    """(path, sha256 of the content that the patch was made for; "" for a new file)."""
    functions: tuple[str, ...] = ()
    """Qualified names of the functions whose code changes."""
    confidence: float = 0.0
    impact: float = 0.0
    """Share of the observed traffic (0-1) that passes through the changed code."""
    risk: Risk = "medium"
    explanation: str = ""
    origin: str = "engine"
    """"engine", or the name of the external proposer."""
    cluster: str = ""
    """Plausible patches of the same observed behaviour share it."""


CheckStatus = Literal["passed", "failed", "unknown", "skipped", "infrastructure"]


@dataclass(frozen=True, slots=True)
class Check:
    """One of the sandbox's findings; `n` is how many tests, replays or runs it rests on."""

    name: str
    """parses, imports, lint, reproducer, good_calls, tests, performance, memory, hardening, ..."""
    status: CheckStatus
    text: str
    n: int = 0
    seconds: float = 0.0
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Remark:
    """One finding of the reflection engine."""

    rule: str
    text: str
    weight: float
    line: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sandbox's findings on one candidate."""

    candidate: str
    checks: tuple[Check, ...]
    safety: int | None
    """0-100; None where a gate failed: there is no score at all."""
    plausible: bool
    tier: int = 1
    """Isolation level the checks ran behind: 1 namespaces, 2 Landlock, 3 refused."""
    remarks: tuple[Remark, ...] = ()
    seconds: float = 0.0
    infrastructure: str = ""
    """Set when the sandbox itself failed: nothing is said about the candidate then."""

    def check(self, name: str) -> Check | None:
        return next((c for c in self.checks if c.name == name), None)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a person is asked: candidates with their verdicts, best first."""

    incident: str
    candidates: tuple[Candidate, ...]
    verdicts: tuple[Verdict, ...]
    """In the order of `candidates`."""
    tier: Literal["high", "medium", "diagnosis"]
    """high: may be approved automatically; diagnosis: no plausible patch, nothing to apply."""
    created_s: float = 0.0
