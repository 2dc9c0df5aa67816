"""Which stalled calls are merely the victims of a deadlock that was reported too."""

from __future__ import annotations

from selfheal_engine.model import Frame, Occurrence

NEAR_S = 180.0


def same_standstill(one: Occurrence, other: Occurrence) -> bool:
    """A deadlock and a stall of the same threads, or of callers that stand at its locks."""
    kinds = {one.kind, other.kind}
    if kinds != {"deadlock", "stall"} or abs(one.time_s - other.time_s) > NEAR_S:
        return False
    deadlock, stall = (one, other) if one.kind == "deadlock" else (other, one)
    names = {t.name for t in deadlock.threads} | {deadlock.thread}
    if stall.pid == deadlock.pid and stall.thread and stall.thread in names:
        return True
    stands = _place(stall.crash)
    locks = {_place(_own(t.frames)) for t in deadlock.threads} | {_place(deadlock.crash)}
    return stands is not None and stands in locks


def _own(frames: tuple[Frame, ...]) -> Frame | None:
    return next((f for f in reversed(frames) if f.own), None)


def _place(frame: Frame | None) -> tuple[str, int] | None:
    return None if frame is None else (frame.file, frame.line)
