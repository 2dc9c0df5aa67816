"""Where nobody looks for a choice, what cannot change the outcome is not waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selfheal_engine.coordinator import proposing
from selfheal_engine.model import Candidate, Verdict


class Judge:
    """Hands out verdicts in the given order, as a validator does."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def validate(
        self,
        candidates: Sequence[Candidate],
        diagnosis: object,
        occurrence: object,
        on_verdict: Callable[[Verdict], None],
    ) -> list[Verdict]:
        for candidate in candidates:
            self.told.append(candidate.id)
            on_verdict(Verdict(candidate.id, (), 90, True))
        return []


def candidates(count: int) -> list[Candidate]:
    return [Candidate(f"c{n}", "null_check", "t", "t", f"d{n}", ()) for n in range(count)]


def found(enough_after: int, judge: Judge) -> tuple[tuple[Candidate, ...], tuple[Verdict, ...]]:
    return proposing._validate(
        judge,  # type: ignore[arg-type]
        iter(candidates(20)),
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        lambda what, **body: None,
        0.0,
        lambda tried, verdicts: len(verdicts) >= enough_after,
    )


def test_what_is_still_being_judged_is_left_when_it_is_enough() -> None:
    judge = Judge()
    tried, verdicts = found(1, judge)
    assert judge.told == ["c0"]
    assert [one.id for one in tried] == [one.candidate for one in verdicts] == ["c0"]


def test_a_batch_is_judged_whole_while_it_is_not() -> None:
    judge = Judge()
    tried, _ = found(99, judge)
    assert len(tried) == len(judge.told) == proposing.BATCH
