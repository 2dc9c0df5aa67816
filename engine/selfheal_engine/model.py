"""Everything that crosses a thread, a process or a socket, as frozen dataclasses.

The rooms of the engine, the widgets and outside scripts share these words and no others.
Times are Unix seconds (`time_s`), durations end in `_s`, sizes in `_bytes`; sequences are
tuples, so that a value published by the engine thread can be read from any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

METRICS = (
    "cpu_usage",
    "memory_usage",
    "error_rate",
    "response_time",
    "queue_depth",
    "deadlock_risk",
    "anomaly_score",
)
"""The seven metrics, in the order in which every screen and every row shows them."""

UNITS = {
    "cpu_usage": "%",
    "memory_usage": "bytes",
    "error_rate": "/min",
    "response_time": "ms",
    "queue_depth": "",
    "deadlock_risk": "",
    "anomaly_score": "",
}

STRATEGIES = (
    "null_check",
    "error_handling",
    "resource_cleanup",
    "timeout_guard",
    "race_condition_fix",
    "syntax_fix",
    "logic_correction",
    "memory_leak_fix",
)

OccurrenceKind = Literal[
    "exception",  # raised and not handled by the project's own code
    "log",  # an ERROR record without an exception
    "syntax",  # a module that does not compile or import
    "stall",  # a call or a thread that does not move on
    "deadlock",  # a cycle of waits, or lock orders seen in both directions
    "leak",  # growth that a memory report located
    "resource",  # a file, socket or connection that was never closed
    "thread_death",  # a worker thread or task that ended by an exception
]
Severity = Literal["info", "warning", "critical"]
Risk = Literal["low", "medium", "high"]
Level = Literal["never", "low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Target:
    """The service to watch: exactly one of the fields is set."""

    command: tuple[str, ...] = ()
    """Started by us, with the probe inside."""
    pid: int = 0
    name: str = ""
    """Name of a service that carries the probe."""
    port: int = 0
    unit: str = ""


# ---------------------------------------------------------------- what was measured
@dataclass(frozen=True, slots=True)
class Reading:
    """One metric at one time; `value` is None where it cannot be had, and `reason` says why."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of the seven metrics over the interval that ends at `time_s`.

    cpu_usage is percent of one core over the whole process tree, memory_usage bytes (PSS, or
    RSS where PSS cannot be read), error_rate per minute, response_time the p95 in ms,
    queue_depth a count, deadlock_risk and anomaly_score in [0, 1]. `counters` holds further
    named numbers for detection and display: requests, errors, p50_ms, p99_ms, threads,
    descriptors, gc_collections, loop_lag_ms, exceptions:<fingerprint>, ...
    """

    time_s: float
    interval_s: float
    readings: dict[str, Reading]
    counters: dict[str, float] = field(default_factory=dict)

    def value(self, metric: str) -> float | None:
        """The metric's number, or None where it cannot be had."""
        reading = self.readings.get(metric)
        return None if reading is None else reading.value


@dataclass(frozen=True, slots=True)
class ControlLimits:
    """The SPC band of one metric, in the metric's own unit."""

    lower: float
    center: float
    upper: float
    samples: int
    """How many samples the baseline rests on."""


@dataclass(frozen=True, slots=True)
class MetricState:
    """What one panel of the dashboard shows."""

    name: str
    reading: Reading
    history: tuple[float | None, ...]
    """Readings at full resolution, oldest first; None where there was none."""
    limits: ControlLimits | None
    """None while the baseline is being learned."""
    beyond_limits: bool = False
    """The persistence rule holds (3 of the last 5 samples beyond the limits)."""
    rule: str = ""
    """The control rule that fired, in words: "5 of 5 samples beyond 3 sigma"."""
    trend_per_min: float | None = None
    time_to_limit_s: float | None = None
    """Forecast: seconds until `limit_name` is reached; None when it is not in sight."""
    limit_name: str = ""
    learning_left: int = 0
    """Samples still to come before the limits are known."""


@dataclass(frozen=True, slots=True)
class HealthCause:
    """One named reason for lost health points."""

    name: str
    points: float


@dataclass(frozen=True, slots=True)
class HealthScore:
    """0-100, 100 is well. `causes` sum to about 100 - score, largest first."""

    score: float
    causes: tuple[HealthCause, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """One detector's statement at one time."""

    time_s: float
    detector: str
    """control_chart, range_record, forest, signature:<name>, forecast, occurrence, ..."""
    severity: Severity
    text: str
    """One line for the feed, in the person's terms."""
    metrics: tuple[str, ...] = ()
    score: float = 1.0
    """Tail probability turned strength, 0-1."""
    fingerprint: str = ""
    place: str = ""
    """file:line where known."""


# ---------------------------------------------------------------- what was caught
@dataclass(frozen=True, slots=True)
class Value:
    """A captured value: type and shape always, text only for exact built-in types, scrubbed.

    `children` holds (name, value) for dict keys, list positions and object attributes, bounded
    in depth and number; `length` is len() for built-in containers and text.
    """

    type_name: str
    text: str = ""
    length: int | None = None
    children: tuple[tuple[str, Value], ...] = ()
    truncated: bool = False

    @property
    def is_none(self) -> bool:
        return self.type_name == "NoneType"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a traceback. Columns are 0-based character offsets, None before 3.11."""

    file: str
    """Absolute path as the service sees it."""
    line: int
    function: str
    """Qualified name: `Cart.total`, `make.<locals>.inner`."""
    module: str = ""
    source_line: str = ""
    own: bool = False
    """In the project itself: not the standard library, not an installed package."""
    end_line: int | None = None
    column: int | None = None
    end_column: int | None = None
    first_line: int = 0
    """co_firstlineno of the frame's code."""
    locals: tuple[tuple[str, Value], ...] = ()
    rebound: tuple[str, ...] = ()
    """Parameters that the function assigns to, so that their captured value is not the argument."""
    arguments: str = ""
    """Replayable call arguments: the probe's JSON recording (see selfheal_agent.recording)."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """The HTTP request that was being served, scrubbed and bounded."""

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    body_truncated: bool = False
    app: str = ""
    """How to import the WSGI or ASGI callable again: "shop.wsgi:app"."""
    route: str = ""
    status: int = 0
    framework: str = ""


@dataclass(frozen=True, slots=True)
class GoodCall:
    """A recorded call that went well: the regression oracle."""

    function: str
    file: str
    arguments: str
    result: str
    """Recording of the returned value, or of the exception when `raised` is set."""
    raised: str = ""
    time_s: float = 0.0
    duration_s: float = 0.0
    request: RequestRecord | None = None
    """Set for a whole HTTP exchange: `result` then records {"status": int, "body": bytes}."""


@dataclass(frozen=True, slots=True)
class WaitingThread:
    """A thread that has not moved: where it stands and what it waits for."""

    name: str
    frames: tuple[Frame, ...]
    stuck_s: float
    waits_for: str = ""
    """Description of the lock, queue, socket or call."""
    held_by: str = ""
    """Name of the thread that holds it, where known."""


@dataclass(frozen=True, slots=True)
class Growth:
    """One place whose memory (or objects, descriptors) grew between two looks."""

    file: str
    line: int
    bytes_grown: int
    count_grown: int
    type_name: str = ""
    holder: str = ""
    """Referrer chain that ends at a module, class or closure name: "catalog._CACHE"."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One captured exception, or one stall, leak or deadlock report, with its frames."""

    id: str
    kind: OccurrenceKind
    time_s: float
    pid: int
    exception: str
    """Exception class, qualified unless built in: "TypeError", "requests.ConnectTimeout"."""
    message: str
    frames: tuple[Frame, ...]
    """Outermost first; the last one raised."""
    fingerprint: str = ""
    """Stable over line shifts and deploys; see diagnosis.fingerprint."""
    count: int = 1
    """How many occurrences of the fingerprint this record stands for since the last one."""
    thread: str = ""
    caught_by: str = ""
    """logging, excepthook, threading, unraisable, asyncio, flask, wsgi, ..."""
    request: RequestRecord | None = None
    chain: tuple[Occurrence, ...] = ()
    """The exceptions it was raised from (`__cause__`, `__context__`), nearest first."""
    threads: tuple[WaitingThread, ...] = ()
    growth: tuple[Growth, ...] = ()
    good_calls: tuple[GoodCall, ...] = ()
    durations_s: tuple[float, ...] = ()
    """Past durations of the stalled call, where known: what a timeout is learned from."""
    handled: bool = False

    @property
    def crash(self) -> Frame | None:
        """The innermost frame of the project's own code, else the innermost of all."""
        for frame in reversed(self.frames):
            if frame.own:
                return frame
        return self.frames[-1] if self.frames else None


# ---------------------------------------------------------------- what was concluded
ReproducerKind = Literal[
    "call",  # recorded arguments of a function of the project
    "request",  # recorded HTTP request through the WSGI or ASGI callable
    "statement",  # the crashing statement with the captured locals
    "import",  # importing the module fails
    "growth",  # repeated good calls or requests grow without bound
    "stall",  # a call against a peer that never answers does not return
    "interleaving",  # functions run at once deadlock or disagree
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
    test: str = ""
    """Test id for the kind "test"."""
    exception: str = ""
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


class IncidentState(StrEnum):
    """The life of an incident; DESIGN: open -> ... -> healed or another end."""

    OPEN = "open"
    DIAGNOSED = "diagnosed"
    PROPOSED = "proposed"
    APPROVED = "approved"
    APPLIED = "applied"
    WATCHING = "watching"
    HEALED = "healed"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    DISMISSED = "dismissed"

    @property
    def ended(self) -> bool:
        return self in (self.HEALED, self.ROLLED_BACK, self.REJECTED, self.DISMISSED)


@dataclass(frozen=True, slots=True)
class Incident:
    """Alerts and occurrences that belong together."""

    id: str
    number: int
    """Short number shown to the person: #12."""
    state: IncidentState
    title: str
    """"TypeError, checkout.py:88"."""
    first_seen_s: float
    last_seen_s: float
    severity: Severity = "warning"
    fingerprint: str = ""
    bug_type: str = "unknown"
    count: int = 0
    """Occurrences so far."""
    alerts: tuple[Alert, ...] = ()
    occurrence: Occurrence | None = None
    """The best record: the one with the fullest context."""
    diagnosis: Diagnosis | None = None
    proposal: Proposal | None = None
    applied: str = ""
    """Id of the candidate in force."""
    applied_s: float = 0.0
    ended_s: float = 0.0
    activity: str = ""
    """What the engine does for it now, or waits for: "trying 4 patches", "waiting for you"."""
    outcome: str = ""
    """One sentence at the end: "rolled back: the error came back on worker 2"."""


# ---------------------------------------------------------------- what was done
@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One process of the service."""

    pid: int
    ppid: int
    command: str
    started_s: float
    python: str = ""
    has_probe: bool = False
    cpu_percent: float = 0.0
    memory_bytes: int = 0
    threads: int = 0
    descriptors: int = 0
    role: str = ""
    """master, worker, ... where known."""


@dataclass(frozen=True, slots=True)
class FunctionSwap:
    """What the healer asks of every process: bring these functions to the file's new text."""

    path: str
    """Absolute path of the file."""
    sha256: str
    """Hash of the content on disk that the probe must find."""
    functions: tuple[str, ...] = ()
    """Qualified names; empty: whatever differs from the running code."""


@dataclass(frozen=True, slots=True)
class SwapResult:
    """One process's answer."""

    pid: int
    ok: bool
    swapped: tuple[str, ...] = ()
    reason: str = ""
    """Why it was refused."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One line of an episode's timeline."""

    time_s: float
    what: str
    """first_occurrence, open, diagnosed, proposed, approved, applied, healed, rolled_back, ..."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Episode:
    """The remembered story of one incident."""

    id: str
    service: str
    number: int
    title: str
    fingerprint: str
    bug_type: str
    state: str
    """How it ended: healed, rolled_back, rejected, dismissed."""
    exception: str = ""
    place: str = ""
    strategy: str = ""
    template: str = ""
    framework: str = ""
    diff: str = ""
    confidence: float = 0.0
    safety: int | None = None
    risk: str = ""
    decision: str = ""
    """approve, reject, automatic."""
    reason: str = ""
    first_seen_s: float = 0.0
    ended_s: float = 0.0
    mttr_s: float | None = None
    """First occurrence to healed."""
    occurrences: int = 0
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """The watched program as a whole."""

    name: str
    project: str
    command: str
    processes: tuple[ProcessInfo, ...] = ()
    framework: str = ""
    started_by_us: bool = False
    alive: bool = True


@dataclass(frozen=True, slots=True)
class EndpointStat:
    """Requests of one route over the recent past."""

    route: str
    requests: int
    errors: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class HealingStats:
    """Figures over the whole history; each documented where it is computed."""

    incidents: int = 0
    healed: int = 0
    rolled_back: int = 0
    rejected: int = 0
    false_alarms: int = 0
    patch_success_rate: float | None = None
    mttr_median_s: float | None = None
    mttr_p90_s: float | None = None
    downtime_avoided_s: float = 0.0
    by_strategy: dict[str, tuple[int, int]] = field(default_factory=dict)
    """strategy -> (applied, healed)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state that a screen shows, published by the engine at every tick and change."""

    time_s: float
    service: ServiceInfo
    metrics: tuple[MetricState, ...]
    health: HealthScore
    incidents: tuple[Incident, ...]
    """Newest first; ended ones stay for the session."""
    feed: tuple[Alert, ...]
    """Newest last, bounded."""
    activity: str = ""
    """What the engine is doing now: "trying 4 patches for #12"."""
    progress: float | None = None
    """0-1 of the activity, None when it cannot be told."""
    activity_s: float = 0.0
    interval_s: float = 5.0
    times: tuple[float, ...] = ()
    """Time of each position of the metrics' history."""
    sandbox_tier: int = 0
    """1 or 2; 3 when patches cannot be validated here; 0 not known yet."""
    sandbox_note: str = ""
    drops: int = 0
    """Records that the probe or the engine had to drop, shown so that nothing is hidden."""
    endpoints: tuple[EndpointStat, ...] = ()
    threads: tuple[WaitingThread, ...] = ()
    read_only: str = ""
    """Why this app may only look: another one holds the service."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the events file; see selfheal_engine.events for the schema."""

    time_s: float
    kind: str
    body: Mapping[str, object] = field(default_factory=dict)
