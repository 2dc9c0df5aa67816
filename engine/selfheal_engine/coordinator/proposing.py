"""From an incident to a proposal, in a process of its own.

Diagnosis, search and LibCST cost CPU; in the engine's process they would hold the
interpreter lock while a person presses keys. So each incident's work runs in
`python -m selfheal_engine.coordinator.proposing`: the workplace comes in on standard input as
soon as an incident opens, the job when its record has settled, and messages go out on standard
output, one JSON object a line:
`{"what": "diagnosis" | "activity" | "record" | "verdict" | "proposal" | "failed", ...}`.
"record" is a question: the newest record of the bug comes back on standard input, since more
good calls have been seen by the time that patches are compared with them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from typing import Any, TextIO

from selfheal_engine.codec import from_plain, to_plain
from selfheal_engine.coordinator.job import AHEAD, Job, Workplace
from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import (
    Candidate,
    Diagnosis,
    Occurrence,
    Proposal,
    Verdict,
)
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator.executors import Validator, validator_for

CHOICE = 3
"""So many plausible patches are a choice; more are not searched for."""
BATCH = 8
PATIENCE_S = 5.0
"""How long to look for a second plausible patch after the first one."""

Say = Callable[..., None]


class _EnoughError(Exception):
    """Ends a validation: its outcome no longer hangs on what is still being judged."""


Newest = Callable[[], Occurrence]


def propose(
    job: Job,
    workplace: Workplace,
    validator: Validator,
    ready: Future[None],
    say: Say,
    newest: Newest,
) -> Proposal:
    """Diagnose, generate, validate and rank; `say` hears of each step. Raises SelfhealError.

    `ready` ends when the validator knows the unpatched tree; `newest` gives the bug's record
    as it is by now.
    """
    from selfheal_engine.diagnosis import diagnose
    from selfheal_engine.episodic_memory import patch_key
    from selfheal_engine.patch_generator import PatchGenerator
    from selfheal_engine.patch_generator.ranking import FLAWLESS, rank, score, tier
    from selfheal_engine.reflection_engine.risk import risk_of
    from selfheal_engine.sandbox_validator.scoring import behind

    incident, project, settings = job.incident, workplace.project(), workplace.settings
    occurrence = incident.occurrence
    if occurrence is None:
        raise SelfhealError("nothing was recorded that could be diagnosed")
    say("activity", text="finding the cause", progress=0.0)
    diagnosis = diagnose(occurrence, project, incident)
    say("diagnosis", diagnosis=to_plain(diagnosis))
    gone = {patch_key(diff) for diff in job.rejected}
    if job.edited is not None:
        candidates: Iterator[Candidate] = iter((job.edited,))
    else:
        generator = PatchGenerator(project, settings, priors=job.priors)
        limit = max(24, settings.candidates * 5)
        share = job.traffic_share
        candidates = (
            replace(c, impact=c.impact or share, risk=risk_of(c, project, share))
            for c in generator.generate(occurrence, diagnosis, limit)
            if patch_key(c.diff) not in gone
        )
    say("activity", text="running the tests on the unpatched tree", progress=0.0)
    ahead = list(islice(candidates, BATCH))
    ready.result()
    occurrence = newest()
    validator.baseline(diagnosis, occurrence)
    alone = settings.approve != "never"  # nobody looks for a choice: the first proven one heals

    def enough(tried: Sequence[Candidate], verdicts: Sequence[Verdict]) -> bool:
        """Whether there is a choice, its first is sure to heal, and none left can come before it.

        A choice all the same: whoever reads the proposal later sees what else there was.
        """
        if sum(verdict.plausible for verdict in verdicts) < CHOICE:
            return False
        first, judged = rank(tried, verdicts, job.priors, limit=1)
        if not alone or tier(first, judged, diagnosis) != "high":
            return False
        done = {verdict.candidate for verdict in verdicts}
        reached = score(first[0], judged[0], job.priors)
        left = (candidate for candidate in tried if candidate.id not in done)
        return all(score(c, FLAWLESS, job.priors) < reached for c in left)

    search = chain(ahead, candidates)
    patience_s = 0.0 if alone else PATIENCE_S
    tried, verdicts = _validate(validator, search, diagnosis, occurrence, say, patience_s, enough)
    shown, judged = rank(tried, verdicts, job.priors, limit=settings.candidates)
    sure = tier(shown, judged, diagnosis) == "high"
    if shown and job.edited is None and not (alone and sure):
        more = _siblings(shown[0], project, gone, validator, diagnosis, newest())
        shown, judged = (*shown, *(c for c, _ in more)), (*judged, *(v for _, v in more))
    judged = (*judged[:1], *map(behind, shown[1:], judged[1:]))
    return Proposal(
        incident=incident.id,
        candidates=shown,
        verdicts=judged,
        tier=tier(shown, judged, diagnosis),
        created_s=time.time(),
    )


def _siblings(
    best: Candidate,
    project: Project,
    gone: set[str],
    validator: Validator,
    diagnosis: Diagnosis,
    occurrence: Occurrence,
) -> list[tuple[Candidate, Verdict]]:
    """The best patch made wherever the same slip stands, where that is proven too."""
    from selfheal_engine.episodic_memory import patch_key
    from selfheal_engine.patch_generator.siblings import siblings

    wider = siblings(best, project)
    if wider is None or patch_key(wider.diff) in gone:
        return []
    verdicts = validator.validate([wider], diagnosis, occurrence, on_verdict=lambda verdict: None)
    return [(wider, verdict) for verdict in verdicts if verdict.plausible]


def _validate(
    validator: Validator,
    candidates: Iterator[Candidate],
    diagnosis: Diagnosis,
    occurrence: Occurrence,
    say: Say,
    patience_s: float,
    enough: Callable[[Sequence[Candidate], Sequence[Verdict]], bool],
) -> tuple[tuple[Candidate, ...], tuple[Verdict, ...]]:
    """Validate in batches, best first, until enough plausible patches stand or none are left.

    Somebody waits while the service fails: with a choice of plausible patches, or with one and
    no further one for a while, the search ends; what comes later in the order is less likely.
    Where it is `enough`, not even what is being judged is waited for.
    """
    tried: list[Candidate] = []
    verdicts: list[Verdict] = []
    patient_until = float("inf")

    def heard(verdict: Verdict) -> None:
        nonlocal patient_until
        verdicts.append(verdict)
        if verdict.plausible:
            patient_until = min(patient_until, time.monotonic() + patience_s)
        say("verdict", verdict=to_plain(verdict))
        say(
            "activity",
            text=f"tried {len(verdicts)} of {len(tried)} patches",
            progress=len(verdicts) / max(1, len(tried)),
        )
        # the first batch holds the likeliest: who is patient waits for all of it
        late = patience_s > 0 and len(tried) > BATCH and time.monotonic() > patient_until
        if late or enough(tried, verdicts):
            raise _EnoughError

    while batch := list(islice(candidates, BATCH)):
        tried.extend(batch)
        progress = len(verdicts) / len(tried)
        text = f"trying {len(batch)} patch{'es' if len(batch) > 1 else ''}"
        say("activity", text=text, progress=progress)
        with suppress(_EnoughError):
            validator.validate(batch, diagnosis, occurrence, on_verdict=heard)
        plausible = sum(verdict.plausible for verdict in verdicts)
        if plausible >= CHOICE or time.monotonic() > patient_until:
            break
    by_id = {verdict.candidate: verdict for verdict in verdicts}
    judged = [candidate for candidate in tried if candidate.id in by_id]
    return tuple(judged), tuple(by_id[candidate.id] for candidate in judged)


def _import_all() -> None:
    """What every job needs, loaded before there is one."""
    import selfheal_engine.diagnosis
    import selfheal_engine.patch_generator  # noqa: F401


def prepare_ahead(stdin: TextIO = sys.stdin) -> int:
    """Learn what the service's tests say before there is an incident; the validator keeps it.

    Whatever hinders it hinders the first proposal too, which then says so.
    """
    workplace = from_plain(Workplace, json.loads(stdin.readline()))
    with suppress(SelfhealError):
        validator = validator_for(workplace.project(), workplace.settings)
        try:
            validator.prepare()
        finally:
            validator.close()
    return 0


def main(stdin: TextIO = sys.stdin, stdout: TextIO = sys.stdout) -> int:
    """Serve one job. What goes wrong is said in a message; the exit code is 0 then too."""

    speaking = threading.Lock()

    def say(what: str, **body: Any) -> None:
        line = json.dumps({"what": what, **body}) + "\n"
        with speaking:  # verdicts come on the sandboxes' threads
            stdout.write(line)
            stdout.flush()

    def newest() -> Occurrence:
        say("record")
        return from_plain(Occurrence, json.loads(stdin.readline()))

    # a library that prints must not corrupt the channel
    sys.stdout = sys.stderr
    workplace = from_plain(Workplace, json.loads(stdin.readline()))
    validator: Validator | None = None
    try:
        validator = validator_for(workplace.project(), workplace.settings)
        with ThreadPoolExecutor(1) as beside:
            # while the record settles: the service's tests on the unpatched tree, our imports
            ready = beside.submit(validator.prepare)
            _import_all()
            text = stdin.readline()
            if not text:
                return 0  # asked to go before there was a job
            job = from_plain(Job, json.loads(text))
            proposal = propose(job, workplace, validator, ready, say, newest)
        say("proposal", proposal=to_plain(proposal))
    except SelfhealError as why:
        say("failed", text=str(why), bug="")
    except Exception as why:  # noqa: BLE001 - the engine shows it and goes on
        say("failed", text=f"{type(why).__name__}: {why}", bug=traceback.format_exc())
    finally:
        if validator is not None:
            validator.close()
    return 0


if __name__ == "__main__":
    ahead = sys.argv[1:] == [AHEAD]
    os.nice(15 if ahead else 5)
    sys.exit(prepare_ahead() if ahead else main())
