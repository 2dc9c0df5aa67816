"""From one occurrence to a diagnosis: what kind of bug, where, why we think so."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from selfheal_engine.diagnosis import conversations
from selfheal_engine.diagnosis.asked_forms import asked_form
from selfheal_engine.diagnosis.bug_types import nothing_left, rank_types
from selfheal_engine.diagnosis.failure import Failure, find_failure
from selfheal_engine.diagnosis.growing import growing
from selfheal_engine.diagnosis.held_locks import awaited_lock, holders
from selfheal_engine.diagnosis.keeping import keepers
from selfheal_engine.diagnosis.odd_writers import OddWriter, odd_keys
from selfheal_engine.diagnosis.origin import Step, trace_back
from selfheal_engine.diagnosis.producers import Producer, producers
from selfheal_engine.diagnosis.recent_changes import changed_lines
from selfheal_engine.diagnosis.repeated import exhaustion
from selfheal_engine.diagnosis.reproducers import at_once, ended_worker, find_reproducers
from selfheal_engine.diagnosis.source_file import Sources
from selfheal_engine.diagnosis.unreleased import unreleased
from selfheal_engine.model import Diagnosis, Frame, Incident, Occurrence, Reproducer, Suspect
from selfheal_engine.project import Project

MAX_SUSPECTS = 8
FRAME_WEIGHT = (1.0, 0.55, 0.35, 0.2)
"""By distance from the crash: in 72 real crashes the fix was in the innermost own function in
64 %, in the top three in 76 %."""

MAKER_WEIGHT = 0.52
"""Of a call that made a value of the failing expression: as much as the caller's line."""
MOST_MAKERS = 3


@dataclass(frozen=True)
class Findings:
    """The diagnosis with the syntax trees that repair goes on with."""

    diagnosis: Diagnosis
    failure: Failure | None
    origin: tuple[Step, ...]
    own_frames: tuple[Frame, ...]
    """The project's frames, outermost first."""


def diagnose(
    occurrence: Occurrence, project: Project, incident: Incident | None = None
) -> Diagnosis:
    """Bug type, suspects, evidence and reproducers. Never raises on odd records."""
    return examine(occurrence, Sources(project), incident).diagnosis


def examine(occurrence: Occurrence, sources: Sources, incident: Incident | None = None) -> Findings:
    """As `diagnose`, keeping the trees."""
    own, stale = relocated(own_frames(occurrence, sources), sources)
    own = without_inner_frames(own)
    failure: Failure | None = None
    origin: tuple[Step, ...] = ()
    if own:
        file = sources.get(own[-1].file)
        if file is not None:
            failure = find_failure(file, own[-1], occurrence.exception, occurrence.message)
    if failure is not None and failure.culprit is not None:
        origin = tuple(trace_back(sources, failure.file, failure.culprit, own))[:8]
    types, evidence = rank_types(occurrence, failure, origin)
    odd: tuple[OddWriter, ...] = ()
    if failure is not None and occurrence.exception == "KeyError":
        odd = tuple(islice(odd_keys(sources, failure), MOST_MAKERS))
    if odd:
        types = _led_by("logic_correction", types)
        evidence.append(f"{odd[0].function} writes {odd[0].written!r} for {odd[0].wanted!r}")
    asked = asked_form(failure, origin)
    if asked is not None:
        types = _led_by("logic_correction", types)
        evidence.append(f"the table has the key as `{asked.form.format('key')}`")
    suspects = _suspects(occurrence, sources, own, failure, origin, odd)
    reproducers = find_reproducers(occurrence, sources, failure)
    if types[0][0] == "resource_cleanup":
        suspects = _with_takers(occurrence, sources, suspects)
        reproducers = tuple(r for r in reproducers if not _starts_empty(r))
        if occurrence.kind == "exception":
            repeated = exhaustion(occurrence, sources, reproducers)
            kept = () if _lent_out(occurrence, sources) else reproducers
            reproducers = (*repeated, *kept)
    if types[0][0] == "race_condition_fix" and occurrence.kind == "exception":
        reproducers = (*at_once(occurrence, sources, reproducers), *reproducers)
    evidence += stale
    evidence += [f"{s.file}:{s.line} {s.reason}" for s in suspects if "commit" in s.reason][:2]
    last = origin[-1] if origin else None
    diagnosis = Diagnosis(
        bug_type=types[0][0],
        ranked_types=types,
        suspects=suspects,
        summary=" ".join([_summary(occurrence, failure, last), *stale]),
        evidence=tuple(evidence),
        failing_expression=failure.text if failure is not None else "",
        none_origin=f"{last.file.path}:{last.line} {last.text}" if last is not None else "",
        reproducers=reproducers,
        ended_worker=ended_worker(occurrence, sources),
    )
    return Findings(diagnosis, failure, origin, tuple(own))


def own_frames(occurrence: Occurrence, sources: Sources) -> list[Frame]:
    """Frames whose file is the project's; of a stall or leak, made up from what was reported."""
    frames = list(occurrence.frames)
    if not frames and occurrence.threads:
        frames = list(occurrence.threads[0].frames)
    own = [
        f
        for f in frames
        if not f.file.startswith("<") and sources.project.relative(f.file) is not None
    ]
    if not own and occurrence.growth:
        for growth in occurrence.growth:
            file = sources.get(growth.file)
            if file is not None:
                function = file.function_at(growth.line)
                name = file.qualified_name(function) if function is not None else "<module>"
                own.append(Frame(growth.file, growth.line, name, own=True))
        own.reverse()
    return own


def relocated(own: Sequence[Frame], sources: Sources) -> tuple[list[Frame], list[str]]:
    """The frames on the lines where their code stands now, and a sentence where it is gone.

    A service that runs older code than the checkout reports lines of the older file.
    """
    found: list[Frame] = []
    gone: list[str] = []
    for frame in own:
        file, wanted = sources.get(frame.file), frame.source_line.strip()
        if file is None or not wanted or file.line(frame.line) == wanted:
            found.append(frame)
            continue
        same = [n for n, text in enumerate(file.lines, 1) if text.strip() == wanted]
        if not same:
            gone.append(
                f"Line {frame.line} of {file.path} is no longer what runs: the service has older "
                "code, restart it before a patch is judged."
            )
            found.append(frame)
            continue
        line = min(same, key=lambda n: abs(n - frame.line))
        shift = line - frame.line
        end = frame.end_line + shift if frame.end_line is not None else None
        found.append(replace(frame, line=line, end_line=end))
    return found, gone[-1:]


def without_inner_frames(own: Sequence[Frame]) -> list[Frame]:
    """The frames with each comprehension's or lambda's joined to that of its function.

    They are the function's own text: its other variables count, and so does its caller. The
    joined frame stands at the inner expression and knows the variables of both.
    """
    found: list[Frame] = []
    for frame in own:
        outer = found[-1] if found else None
        around, _, last = frame.function.rpartition(".")
        inner = last in ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>")
        enclosing = around.removesuffix(".<locals>")
        # before Python 3.11 the record knows the last part of the name only
        joins = outer is not None and enclosing in ("", outer.function)
        if not inner or outer is None or not joins or outer.file != frame.file:
            found.append(frame)
            continue
        hidden = {name for name, _ in frame.locals}
        both = (*frame.locals, *(v for v in outer.locals if v[0] not in hidden))
        found[-1] = replace(frame, function=outer.function, arguments=outer.arguments, locals=both)
    return found


def _suspects(
    occurrence: Occurrence,
    sources: Sources,
    own: Sequence[Frame],
    failure: Failure | None,
    origin: Sequence[Step],
    odd: Sequence[OddWriter],
) -> tuple[Suspect, ...]:
    found: dict[tuple[str, int], Suspect] = {}

    def add(file: str, line: int, function: str, score: float, reason: str) -> None:
        old = found.get((file, line))
        if old is None or old.score < score:
            reason = f"{reason}; {old.reason}" if old is not None else reason
            found[file, line] = Suspect(file, line, function, round(score, 3), reason)

    for distance, frame in enumerate(reversed(own)):
        relative = sources.project.relative(frame.file) or ""
        weight = FRAME_WEIGHT[min(distance, len(FRAME_WEIGHT) - 1)]
        reason = "it failed here" if distance == 0 else "on the way to the failure"
        add(relative, frame.line, frame.function, 0.9 * weight, reason)
        if distance < 2:
            recent = changed_lines(sources.project.root, relative, frame.line, frame.line)
            for line, why in recent.items():
                add(relative, line, frame.function, min(1.0, 0.9 * weight + 0.1), why)
    for index, step in enumerate(origin):
        last = index == len(origin) - 1
        add(step.file.path, step.line, step.function, 0.95 if last else 0.6, step.text)
    for maker in _makers(sources, failure) if failure is not None and not origin else ():
        function = maker.file.function_of(maker.node)
        name = maker.file.qualified_name(function) if function is not None else "<module>"
        text = " ".join(maker.file.segment(maker.node).split())[:60]
        reason = f"its value may come from `{text}`"
        add(maker.file.path, maker.node.lineno, name, MAKER_WEIGHT, reason)
    for writer in odd:
        reason = f"writes {writer.written!r} where others write {writer.wanted!r}"
        add(writer.file.path, writer.key.lineno, writer.function, 0.95, reason)
    for growth in occurrence.growth:
        file = sources.get(growth.file)
        if file is not None and growth.line:  # a holder alone has no line
            function = file.function_at(growth.line)
            name = file.qualified_name(function) if function is not None else "<module>"
            add(
                file.path,
                growth.line,
                name,
                0.9,
                f"memory grew by {growth.count_grown} objects here",
            )
        for container in growing(file)[:4] if file is not None else ():
            holder = file.function_of(container) if file is not None else None
            if file is not None and holder is not None:
                reason = f"`{file.segment(container)}` gets more and more, and nothing takes out"
                add(file.path, container.lineno, file.qualified_name(holder), 0.85, reason)
    for keeper in keepers(occurrence, sources) if occurrence.kind == "leak" else ():
        reason = "what grows is put away here"
        add(keeper.file.path, keeper.frame.line, keeper.frame.function, 0.88, reason)
    for kept in holders(sources, failure) if occurrence.kind == "stall" else ():
        if kept.leaves:
            name = kept.file.qualified_name(kept.function)
            reason = f"`{kept.lock}` is not released on every way out of it"
            add(kept.file.path, kept.taken.lineno, name, 0.97, reason)
    for thread in occurrence.threads:
        for frame in reversed(thread.frames):
            path = sources.project.relative(frame.file)
            if path is not None:
                waits_for = thread.waits_for or "something"
                reason = f"thread {thread.name} stands here, waiting for {waits_for}"
                add(path, frame.line, frame.function, 0.8, reason)
                break
    ranked = sorted(found.values(), key=lambda s: -s.score)
    return tuple(ranked[:MAX_SUSPECTS])


def _led_by(kind: str, types: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """The types with one in front, of which the source itself tells."""
    rest = [(name, share) for name, share in types if name != kind]
    total = sum(share for _, share in rest) or 1.0
    return ((kind, 0.6), *((name, 0.4 * share / total) for name, share in rest))


def _makers(sources: Sources, failure: Failure) -> list[Producer]:
    """The calls outside the failing function that made a value of the failing expression."""
    if not isinstance(failure.node, ast.expr):
        return []
    operands = [n for n in ast.iter_child_nodes(failure.node) if isinstance(n, ast.expr)]
    made = (p for operand in operands for p in producers(sources, failure.file, operand))
    elsewhere = (
        p
        for p in made
        if isinstance(p.node, ast.Call)
        and p.file.function_of(p.node) not in (failure.function, None)
    )
    return list(islice(elsewhere, MOST_MAKERS))


def _starts_empty(reproducer: Reproducer) -> bool:
    """Whether a replay begins with the objects as they were when nothing was left.

    What others did not give back stays away then, whatever the patch: it proves nothing.
    """
    if reproducer.kind == "statement":
        return any('"self"' in text for text in reproducer.arguments)
    return reproducer.kind == "call" and any('{"$":"object"' in x for x in reproducer.arguments)


def _lent_out(occurrence: Occurrence, sources: Sources) -> bool:
    """Whether nothing is left because somebody does not give back what the project lends.

    Who asks once and finds nothing in a fresh process has a pool that was never filled there:
    only taking again and again shows that things are not given back.
    """
    return nothing_left(occurrence) and any(one.partly for one in unreleased(sources))


def _with_takers(
    occurrence: Occurrence, sources: Sources, suspects: tuple[Suspect, ...]
) -> tuple[Suspect, ...]:
    """Those who take and do not give back come before the one who found nothing left."""
    takers = [
        Suspect(
            taker.file.path,
            taker.call.lineno,
            taker.file.qualified_name(taker.function),
            0.99 if taker.partly else 0.92,
            f"`{taker.name}` is not given back on every way out",
        )
        for taker in islice(unreleased(sources), 5)
    ]
    for one in conversations.recorded(occurrence, sources):
        handler = conversations.handler_of(one, sources)
        if one.left_open and handler is not None:
            reason = "connections are still open when it has ended"
            takers.append(Suspect(one.file, handler.lineno, one.function, 0.95, reason))
    ranked = sorted(dict.fromkeys([*takers, *suspects]), key=lambda s: -s.score)
    return tuple(ranked[:MAX_SUSPECTS])


def _summary(occurrence: Occurrence, failure: Failure | None, origin: Step | None) -> str:
    crash = occurrence.crash
    place = ""
    if failure is not None:
        place = f" in {failure.frame.function} ({failure.file.path}:{failure.frame.line})"
    elif crash is not None:
        place = f" in {crash.function}"
    if occurrence.kind == "leak" and occurrence.growth:
        named = next((g for g in occurrence.growth if g.holder), occurrence.growth[0])
        holder = f", kept by {named.holder}" if named.holder else ""
        return f"Memory grows{place}: {named.type_name or 'objects'} pile up{holder}."
    if occurrence.kind == "deadlock":
        return f"Threads wait for each other's locks{place}: none of them can go on."
    if occurrence.kind == "stall" and awaited_lock(failure):
        return f"A thread{place} waits for `{awaited_lock(failure)}`, which nobody releases."
    if occurrence.kind == "stall":
        return f"A call{place} does not come back and nothing limits how long it may take."
    if failure is not None and failure.is_none and failure.culprit is not None:
        text = failure.file.segment(failure.culprit)
        came = f": {origin.text} ({origin.file.path}:{origin.line})" if origin is not None else ""
        return f"`{text}` is None{place}{came}."
    name = occurrence.exception.rpartition(".")[2] or occurrence.kind
    if failure is not None and isinstance(failure.node, ast.expr):
        text = " ".join(failure.text.split())[:80]
        return f"`{text}` raises {name}{place}: {occurrence.message[:120]}"
    return f"{name}{place}: {occurrence.message[:160]}"
