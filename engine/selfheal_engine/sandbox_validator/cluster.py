"""Validation on a Dask cluster, with this machine behind it for whatever is lost there.

The project's tree goes to each worker once, under its hash; after that a job is a short order
(see cluster_worker.py). A job without an answer, because its worker or the scheduler is gone or
because the worker could not isolate, is unknown: it is tried again here. Each candidate has
exactly one verdict, the first that came.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from typing import Any, Protocol

from selfheal_engine.codec import from_plain, to_plain
from selfheal_engine.config import Settings
from selfheal_engine.errors import SandboxUnavailableError, SelfhealError
from selfheal_engine.model import Candidate, Diagnosis, Occurrence, Verdict
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import cluster_worker
from selfheal_engine.sandbox_validator.executors import Scheduler, Validator
from selfheal_engine.sandbox_validator.trees import pack

CONNECT_S = 10.0
ASKED_EVERY_S = 2.0
"""While nothing comes back: how often it is asked whether there are workers at all."""
SENDS_AT_MOST = 4
"""How often one job may find a worker without the tree; new workers come, but not for ever."""
SPARE_S = 120.0
"""A worker may take this long besides the tests' own limits before its job counts as lost."""
_LOST = (Exception, asyncio.CancelledError)
"""What Dask's client raises when the other side is gone: many kinds, and all mean the same."""

OnVerdict = Callable[[Verdict], None]


class Link(Protocol):
    """A connection to a cluster."""

    @property
    def executor(self) -> Executor: ...
    def send(self, digest: str, packed: bytes, workers: Sequence[str] | None) -> None:
        """Give the tree to these workers, or to all there are."""

    def alive(self) -> bool:
        """Whether the scheduler answers and has workers."""

    def close(self) -> None: ...


class ClusterValidator:
    """SandboxValidator's surface; use from one thread, close() when done."""

    def __init__(
        self,
        project: Project,
        settings: Settings,
        local: Validator,
        connect: Callable[[], Link],
    ) -> None:
        self.project = project
        self.settings = settings
        self.note = local.note
        self._local = local
        self._connect = connect
        self._link: Link | None = None
        self._tree = ("", b"")
        self._bug: tuple[Diagnosis, Occurrence] | None = None
        self._local_knows: tuple[Diagnosis, Occurrence] | None = None
        self._lost = False

    @property
    def tier(self) -> int:
        """This machine's: each verdict carries that of the machine it was made on."""
        return self._local.tier

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            with suppress(*_LOST):  # there is nothing to close when the other side is gone
                link.close()
        self._local.close()

    def prepare(self) -> None:
        """Connect and send the tree; without a cluster, get ready here.

        Raises SandboxUnavailableError when there is neither a cluster nor a wall.
        """
        if self._link is None and not self._lost:
            try:
                self._link = self._connect()
            except OSError as why:
                self._give_up(f"the cluster cannot be reached ({why})")
        if self._link is not None:
            self._send_tree()
        if self._lost:
            self._local.prepare()

    def baseline(self, diagnosis: Diagnosis, occurrence: Occurrence) -> None:
        """Tell what the bug is; each worker learns what the unpatched tree does by itself."""
        self._bug = (diagnosis, occurrence)
        self.prepare()
        if self._lost:
            self._prepare_here()

    def validate(
        self,
        candidates: Sequence[Candidate],
        diagnosis: Diagnosis,
        occurrence: Occurrence,
        on_verdict: OnVerdict,
    ) -> list[Verdict]:
        """Judge the candidates on the cluster; `on_verdict` hears each once, in this thread."""
        self._bug = self._bug or (diagnosis, occurrence)
        verdicts: dict[str, Verdict] = {}

        def record(verdict: Verdict) -> None:
            if verdict.candidate not in verdicts:
                verdicts[verdict.candidate] = verdict
                on_verdict(verdict)

        wanted = {candidate.id: candidate for candidate in candidates}
        if self._link is not None and not self._lost:
            self._judge_away(self._link, list(wanted.values()), record)
        left = [one for name, one in wanted.items() if name not in verdicts]
        if left:
            self._judge_here(left, record)
        return [verdicts[candidate.id] for candidate in candidates]

    # ------------------------------------------------------------------ there
    def _send_tree(self) -> None:
        try:
            tree = pack(self.project.root)
        except SelfhealError as why:
            self._give_up(str(why))
            return
        if tree[0] != self._tree[0] and self._link is not None:
            self._tree = tree
            self._send(self._link, None)

    def _send(self, link: Link, workers: Sequence[str] | None) -> None:
        """A worker that could not take the tree says so when it is given a job."""
        try:
            link.send(*self._tree, workers)
        except _LOST as why:
            self._give_up(f"the cluster was lost ({why})")

    def _judge_away(self, link: Link, candidates: Iterable[Candidate], record: OnVerdict) -> None:
        """Record what the workers find; returns early when the cluster is gone."""
        assert self._bug is not None
        order = cluster_worker.order_for(self.project, self.settings, self._tree[0], *self._bug)
        text = json.dumps(order)
        pending: dict[Future[str], tuple[Candidate, int]] = {}

        def submit(candidate: Candidate, sends: int) -> None:
            plain = json.dumps(to_plain(candidate))
            try:
                future = link.executor.submit(cluster_worker.judge, text, plain)
            except _LOST as why:
                self._give_up(f"the cluster was lost ({why})")
            else:
                pending[future] = (candidate, sends)

        for candidate in candidates:
            submit(candidate, 0)
        patience_s = SPARE_S + 10 * self.settings.test_timeout_s
        last_s = time.monotonic()
        try:
            while pending and not self._lost:
                done, _ = wait(pending, timeout=ASKED_EVERY_S, return_when=FIRST_COMPLETED)
                lacking: dict[str, list[tuple[Candidate, int]]] = {}
                lost = False
                for future in done:
                    candidate, sends = pending.pop(future)
                    answer = _answer(future)
                    lost |= not answer
                    verdict = _verdict(answer, candidate)
                    if verdict is not None:
                        record(verdict)
                    elif "lacking" in answer and sends < SENDS_AT_MOST:
                        lacking.setdefault(str(answer["lacking"]), []).append(
                            (candidate, sends + 1)
                        )
                for worker, again in lacking.items():
                    self._send(link, [worker])
                    for candidate, sends in again:
                        submit(candidate, sends)
                if done:
                    last_s = time.monotonic()
                if (lost or not done) and not link.alive():
                    self._give_up("the cluster's scheduler or all of its workers are gone")
                elif time.monotonic() - last_s > patience_s:
                    self._give_up("the cluster's workers do not answer any more")
        finally:
            for future in pending:
                with suppress(*_LOST):  # what is lost with its cluster needs no cancelling
                    future.cancel()

    def _give_up(self, why: str) -> None:
        """From now on patches are tried on this machine only."""
        self._lost = True
        self.note = f"{why}; patches are tried on this machine ({self._local.note})"

    # ------------------------------------------------------------------ here
    def _prepare_here(self) -> None:
        if self._bug is not None and self._local_knows is not self._bug:
            self._local.baseline(*self._bug)
            self._local_knows = self._bug

    def _judge_here(self, candidates: Sequence[Candidate], record: OnVerdict) -> None:
        assert self._bug is not None
        try:
            self._prepare_here()
        except SandboxUnavailableError as why:
            for one in candidates:
                text = f"no answer from the cluster, and {why}"
                record(
                    Verdict(one.id, (), None, plausible=False, tier=self.tier, infrastructure=text)
                )
            return
        self._local.validate(candidates, *self._bug, record)


def _answer(future: Future[str]) -> dict[str, Any]:
    """What a worker said; {} when its job was lost, for whatever reason."""
    try:
        said = json.loads(future.result())
    except (Exception, asyncio.CancelledError):  # noqa: BLE001 - any error of another machine
        return {}
    return said if isinstance(said, dict) else {}


def _verdict(answer: dict[str, Any], candidate: Candidate) -> Verdict | None:
    """The verdict on this candidate, None when there is none or it says nothing."""
    try:
        verdict = from_plain(Verdict, answer["verdict"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    known = verdict.candidate == candidate.id and not verdict.infrastructure
    return verdict if known else None


class DaskLink:
    """A connection to a Dask scheduler."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.executor: Executor = client.get_executor(pure=False, retries=0)

    def send(self, digest: str, packed: bytes, workers: Sequence[str] | None) -> None:
        self._client.run(
            cluster_worker.receive,
            digest,
            packed,
            workers=None if workers is None else list(workers),
            on_error="ignore",
        )

    def alive(self) -> bool:
        try:
            return self._client.status == "running" and bool(self._client.nthreads())
        except _LOST:
            return False

    def close(self) -> None:
        with suppress(*_LOST):  # it wants to tell a scheduler that may be gone
            self.executor.shutdown(wait=False)
        self._client.close(timeout=CONNECT_S)


def connect(scheduler: Scheduler) -> DaskLink:
    """Raises OSError when nobody answers."""
    # imported by name: an extra that most installations do not have
    distributed: Any = importlib.import_module("distributed")
    security = None
    if scheduler.tls:
        authority, certificate, key = scheduler.tls
        security = distributed.Security(
            tls_ca_file=authority,
            tls_client_cert=certificate,
            tls_client_key=key,
            require_encryption=True,
        )
    client = distributed.Client(
        scheduler.url, timeout=CONNECT_S, security=security, set_as_default=False
    )
    return DaskLink(client)
