"""What was caught: occurrences with their frames, values, requests and good calls."""

from __future__ import annotations

from dataclasses import dataclass

from selfheal_engine.model.vocabulary import OccurrenceKind


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
class ConnectionRecord:
    """What one connection of a stream server sent, and what served it; scrubbed and bounded."""

    way: str
    """streams: a handler of `asyncio.start_server`; socketserver: a handler class; socket: a
    function that is given the accepted socket."""
    file: str
    function: str
    """Qualified name of the handler, or of the handler class."""
    module: str = ""
    arguments: tuple[str, ...] = ()
    """Recordings of what the handler was given; "" for what could not be recorded. What belongs
    to the connection is a stand-in of its class. Empty: only the connection is known of."""
    lasting: tuple[int, ...] = ()
    """Positions of the arguments that all connections share."""
    sent: bytes = b""
    truncated: bool = False
    ended: bool = False
    """The client said that it sends nothing more."""
    left_open: bool = False
    """It was still open on the service's side when its handler had ended."""


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
    connections: tuple[ConnectionRecord, ...] = ()
    """Of a service that is no HTTP server and has run out of something: what was sent to it."""
    durations_s: tuple[float, ...] = ()
    """Past durations of the stalled call, where known: what a timeout is learned from."""
    handled: bool = False
    argv: tuple[str, ...] = ()
    """Arguments of the script that ran, where the crash goes through it; secrets scrubbed."""
    began_s: float = 0.0
    """When a stalled call began, where known; 0: not known."""

    @property
    def crash(self) -> Frame | None:
        """The innermost frame of the project's own code, else the innermost of all."""
        for frame in reversed(self.frames):
            if frame.own:
                return frame
        return self.frames[-1] if self.frames else None
