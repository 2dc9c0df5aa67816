"""The probe's only thread: it owns the socket, the ring of records and all slow work.

Wire format, both ways: one JSON object a line, UTF-8. The socket is a unix stream socket,
mode 0600, one for each process, `<run dir>/<pid>.sock`; the peer's uid must be ours. The first
client that asks becomes the owner and may command; later ones only read and are told who the
owner is. Application threads only append to a deque and, when the thread sleeps, write one
byte to a pipe.
"""

from __future__ import annotations

import _socket
import _thread
import os
import select
import sys
import time

# the package around it costs more than all of ours, and a short script may lack it
from _collections import deque  # type: ignore[import-not-found,unused-ignore]

from selfheal_agent import spooling, warming
from selfheal_agent.client import Client, close_own, inode_of
from selfheal_agent.own_thread import OwnThread

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from typing import Any

    Command = Callable[[dict[str, Any]], dict[str, Any]]

# kept from before anything could be monkey-patched
_poll = select.poll
_allocate_lock = _thread.allocate_lock
_clock = time.monotonic
_sleep = time.sleep
_POLLIN, _POLLOUT, _POLLNVAL = select.POLLIN, select.POLLOUT, select.POLLNVAL

MAX_RING_BYTES = 2_000_000
MAX_RING = 400
MAX_PENDING = 2_000
MAX_OUTBOX_BYTES = 8_000_000
TICK_S = 1.0
CHECK_EVERY = 5
"""Ticks after which it is seen whether the socket can still be found: that is six system calls."""
LISTEN_AFTER_S = 0.03
"""A process that is gone by then was no service: it never pays for the socket."""
PRELOAD_AFTER_S = 0.4
GONE_S = 0.5
"""The end of the process waits at most so long for the thread to leave."""
MAX_AT_END = 100
"""Records in hand that the end of the process still renders itself."""


class Channel:
    """The ring, the thread and the socket of one process."""

    def __init__(
        self,
        folder: str,
        hello: Callable[[], dict[str, Any]],
        command: Command,
        render: Callable[[Any], dict[str, Any] | None],
        tick: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._hello = hello
        self._command = command
        self._render = render
        self._tick = tick
        self.pid = os.getpid()
        self.root = os.environ.get("SELFHEAL_ROOT", "0")
        """The first process of the service that carries a probe; names what is left behind."""
        self.dropped = 0
        self.problem = ""
        self._pending: deque[Any] = deque()
        self._ring: deque[tuple[int, bytes]] = deque()
        self._ring_bytes = 0
        self._next = 0
        self._delivered = 0
        """Number of the first record that no owner has been sent yet."""
        self._clients: dict[int, Client] = {}
        self._listener: Any = None
        self._asleep = self._rendering = False
        self._wake_inodes = (-1, -1)
        self._listener_inode = -1
        self._wake_r = self._wake_w = -1
        self.busy = _allocate_lock()
        """Held while the thread works: a fork waits for it, so that no lock is torn."""
        self._idle_event = _allocate_lock()
        self._stopping = False
        self._thread: OwnThread | None = None

    # ------------------------------------------------------------ from any thread
    def put(self, raw: Any) -> None:
        """Hand over a record. Never blocks, never raises."""
        if len(self._pending) >= MAX_PENDING:
            self.dropped += 1
            return
        self._pending.append(raw)
        if self._asleep:
            self.wake()

    def wake(self) -> None:
        self._asleep = False
        try:
            # a service may close what it did not open; the number can be its own file by now
            if inode_of(self._wake_w) == self._wake_inodes[1]:
                os.write(self._wake_w, b"x")
        except OSError:
            return  # full pipe: it is awake; closed: it is gone

    def start(self) -> None:
        """Start the thread (again, after a fork)."""
        self._open_pipe()
        self._thread = OwnThread(self._run)

    def _open_pipe(self) -> None:
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_r, False)
        os.set_blocking(self._wake_w, False)
        self._wake_inodes = (inode_of(self._wake_r), inode_of(self._wake_w))

    def flush(self, timeout_s: float) -> None:
        """Wait until what was handed over is sent or spooled; for the end of the process."""
        if self._thread is None or self.pid != os.getpid():
            return
        if not self._pending and not self._clients and not self._rendering:
            return
        end = _clock() + timeout_s
        while _clock() < end and not self._stopping:
            if not self._pending and not any(c.outbox for c in self._clients.values()):
                if self.busy.acquire(True, max(0.0, end - _clock())):
                    self.busy.release()
                    if not self._pending:
                        return
                continue
            self.wake()
            _sleep(0.002)

    def close(self, leave_records: bool = True) -> None:
        """Spool what no owner has read and remove the socket. The process is about to end."""
        if self.pid != os.getpid() or self._stopping:
            return
        self._stopping = True
        self.wake()
        # the interpreter must not be taken apart under the thread, nor the ring read beside it
        gone = self._thread is None or self._thread.wait(GONE_S)
        if leave_records:
            self.leave(_end_of(self._pending, self._render_one) if gone else 0)
        for ending in (".sock", ".json") if self._listener is not None else ():
            try:
                os.unlink(os.path.join(self._folder, f"{self.pid}{ending}"))
            except OSError:
                continue

    def leave(self, lost: int = 0) -> None:
        """Spool what no owner has read; it counts as delivered from now on.

        `lost` records could not even be rendered.
        """
        left = [line for number, line in list(self._ring) if number >= self._delivered]
        if lost:
            left.append(b'{"t":"dropped","count":%d}\n' % lost)
        if left:
            self._delivered = self._next
            spooling.spool(self._folder, self.pid, self.root, left)

    def forget_after_fork(self) -> None:
        """In the child: give up the parent's descriptors, keep its files."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self._listener is not None:
            close_own(self._listener, self._listener_inode)
        for fd, inode in zip((self._wake_r, self._wake_w), self._wake_inodes):
            try:
                if inode_of(fd) == inode:
                    os.close(fd)
            except OSError:
                continue

    @property
    def serving(self) -> bool:
        """Whether the process lived long enough to be seen."""
        return self._listener is not None

    @property
    def attached(self) -> bool:
        """Whether an owner is listening."""
        return any(client.owner for client in self._clients.values())

    # ------------------------------------------------------------ the thread
    def _run(self) -> None:
        warming.block_signals()
        next_tick = _clock() + 0.2
        ticks = 0
        try:
            self._sleep(LISTEN_AFTER_S)
            self._guarded(self._listen)
            self._sleep(PRELOAD_AFTER_S)
            self._guarded(warming.preload)
            self._guarded(warming.keep_compiled)
        except OSError:
            pass  # closed under us: the loop below looks after it
        while not self._stopping:
            self._asleep = not self._pending
            try:
                events = self._wait(max(0.0, next_tick - _clock()) if not self._pending else 0.0)
            except OSError:
                if self._stopping:
                    return
                _sleep(0.05)
                events = []
            if any(event & _POLLNVAL for _, event in events):  # closed under us
                events = []
                with self.busy:
                    self._check_listener()
            self._asleep = False
            with self.busy:
                if self._stopping:
                    return
                try:
                    self._serve(events)
                    self._render_pending()
                    if _clock() >= next_tick:
                        next_tick = _clock() + TICK_S
                        ticks += 1
                        if ticks % CHECK_EVERY:
                            self._drop_lost_clients()
                        else:
                            self._check_listener()
                        self._tick()
                    self._send()
                except Exception as why:  # the service must never hear of it
                    self.problem = f"{type(why).__name__}: {why}"

    def _sleep(self, seconds: float) -> None:
        """Wait, but not when there is a record, and no longer than the process lives."""
        if not self._pending and not self._stopping:
            poller = _poll()
            poller.register(self._wake_r, _POLLIN)
            self._asleep = True
            poller.poll(seconds * 1000)
            self._asleep = False

    def _guarded(self, work: Callable[[], None]) -> None:
        """Work that a fork must not tear: half a module in the child would be its end."""
        with self.busy:
            try:
                if not self._stopping:
                    work()
            except Exception as why:
                self.problem = f"{type(why).__name__}: {why}"

    def _wait(self, timeout_s: float) -> list[tuple[int, int]]:
        poller = _poll()
        poller.register(self._wake_r, _POLLIN)
        if self._listener is not None:
            poller.register(self._listener.fileno(), _POLLIN)
        for fd, client in self._clients.items():
            poller.register(fd, _POLLIN | (_POLLOUT if client.outbox else 0))
        return poller.poll(timeout_s * 1000)

    def _listen(self) -> None:
        listener = None
        try:
            os.makedirs(self._folder, 0o700, exist_ok=True)
            path = os.path.join(self._folder, f"{self.pid}.sock")
            listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            with _short_path(path) as short:
                listener.bind(short)  # the folder is 0700, which covers the moment before chmod
                os.chmod(path, 0o600)
            listener.listen(8)
            listener.setblocking(False)
        except OSError as why:
            self.problem = f"no socket in {self._folder}: {why.strerror}"
            if listener is not None:
                listener.close()
            return
        self._listener = listener
        self._listener_inode = inode_of(listener.fileno())
        self._write_card()

    def _check_listener(self) -> None:
        """Come back when a cleaner removed the socket or something closed our descriptors."""
        self._drop_lost_clients()
        if (inode_of(self._wake_r), inode_of(self._wake_w)) != self._wake_inodes:
            self._open_pipe()
        path = os.path.join(self._folder, f"{self.pid}.sock")
        if self._listener is not None:
            if self._own_listener() and os.path.exists(path):
                if not os.path.exists(path[: -len("sock")] + "json"):
                    self._write_card()
                return
            close_own(self._listener, self._listener_inode)
        self._listener = None
        self._listen()

    def _drop_lost_clients(self) -> None:
        """A service may close what it did not open; the number can be its own file by now."""
        for fd, client in list(self._clients.items()):
            if inode_of(fd) != client.inode:
                self._clients.pop(fd).close()

    def _own_listener(self) -> bool:
        return inode_of(self._listener.fileno()) == self._listener_inode

    def _write_card(self) -> None:
        """The file that the picker lists services by; without it the app asks the socket."""
        import json

        path = os.path.join(self._folder, f"{self.pid}.json")
        text = json.dumps(self._hello()).encode()
        try:
            how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            fd = os.open(path + ".new", how, 0o600)
            try:
                written = os.write(fd, text)
            finally:
                os.close(fd)
            if written == len(text):
                os.replace(path + ".new", path)
        except OSError as why:
            self.problem = f"no card in {self._folder}: {why.strerror}"

    def _serve(self, events: list[tuple[int, int]]) -> None:
        for fd, event in events:
            if fd == self._wake_r:
                try:
                    if inode_of(fd) == self._wake_inodes[0]:
                        os.read(fd, 4096)
                    else:
                        self._open_pipe()
                except OSError:
                    continue
            elif self._listener is not None and fd == self._listener.fileno():
                if self._own_listener():
                    self._accept()
                else:
                    self._check_listener()
            elif fd in self._clients:
                client = self._clients[fd]
                if event & ~_POLLOUT:
                    for message in client.read():
                        self._obey(client, message)
                if client.gone:
                    self._clients.pop(fd).close()

    def _accept(self) -> None:
        try:
            fd, _ = self._listener._accept()
        except OSError:
            return
        connection = _socket.socket(fileno=fd)
        connection.setblocking(False)
        packed = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        pid, uid = (int.from_bytes(packed[i : i + 4], sys.byteorder, signed=True) for i in (0, 4))
        if uid not in (os.geteuid(), 0) or len(self._clients) >= 8:
            connection.close()
            return
        client = Client(connection, pid)
        client.say({"t": "hello", **self._hello(), "taken_by": self._owner_pid()})
        self._clients[fd] = client

    def _owner_pid(self) -> int:
        return next((c.pid for c in self._clients.values() if c.owner), 0)

    def _obey(self, client: Client, message: dict[str, Any]) -> None:
        kind = message.get("t")
        if kind == "attach":
            owner = self._owner_pid()
            client.owner = owner == 0 and not message.get("read_only")
            client.attached = True
            client.cursor = self._delivered if client.owner else 0
            client.say({"t": "attached", "owner": client.owner, "taken_by": owner})
            return
        if not client.owner and message.get("changes"):
            answer: dict[str, Any] = {
                "ok": False,
                "reason": f"process {self._owner_pid()} holds this service; this one may look only",
            }
        else:
            try:
                answer = self._command(message)
            except Exception as why:
                answer = {"ok": False, "reason": f"{type(why).__name__}: {why}"}
        client.say({"t": "reply", "id": message.get("id"), **answer})

    def _render_pending(self) -> None:
        self._rendering = bool(self._pending)
        try:
            while self._pending:
                self._render_one(self._pending.popleft())
        finally:
            self._rendering = False

    def _render_one(self, raw: Any) -> None:
        """Into the ring; one that cannot be rendered costs none of the others."""
        import json

        try:
            made = self._render(raw)
            if made is None:
                return
            line = json.dumps({**made, "seq": self._next}, separators=(",", ":")).encode() + b"\n"
        except Exception as why:
            self.dropped += 1
            self.problem = f"a record could not be rendered: {type(why).__name__}: {why}"
            return
        self._ring.append((self._next, line))
        self._next += 1
        self._ring_bytes += len(line)
        while self._ring_bytes > MAX_RING_BYTES or len(self._ring) > MAX_RING:
            number, old = self._ring.popleft()
            self._ring_bytes -= len(old)
            if number >= self._delivered:
                self.dropped += 1

    def _send(self) -> None:
        for fd, client in list(self._clients.items()):
            if client.attached:
                for number, line in self._ring:
                    if number >= client.cursor and len(client.outbox) < MAX_OUTBOX_BYTES:
                        client.outbox += line
                        client.cursor = number + 1
            client.write()
            if client.owner and not client.outbox:
                self._delivered = max(self._delivered, client.cursor)
            if client.gone:
                self._clients.pop(fd).close()


def _end_of(pending: deque[Any], render: Callable[[Any], None]) -> int:
    """Render what the thread no longer could; how many records are lost all the same."""
    for _ in range(min(len(pending), MAX_AT_END)):
        render(pending.popleft())
    return len(pending)


class _short_path:  # noqa: N801 - reads as a function
    """A path to a socket that fits into sun_path (108 bytes), by way of /proc/self/fd."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) < 100:
            return self._path
        self._fd = os.open(os.path.dirname(self._path), os.O_PATH | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._fd}/{os.path.basename(self._path)}"

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
