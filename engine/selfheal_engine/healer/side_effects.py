"""What a patch may cost although the error is gone: slower answers, growing memory, new failures.

Looked at about once a second while a patch is watched, with the traffic that really comes:

- Slower: durations are compared by the rank-sum test of Mann and Whitney ("On a Test of Whether
  one of Two Random Variables is Stochastically Larger than the Other", Annals of Mathematical
  Statistics 18, 1947), corrected for ties, at a level that stays below one in a hundred over
  all looks of a watch together (Bonferroni), and only a difference of the medians that somebody
  would feel counts. While a canary runs, the other processes are the comparison: they share
  machine and traffic. Later it is the minute before the patch, with a wider margin.
- Growing: the least squares slope of the resident memory (see `sequential.growth`), which
  must lie three standard errors above twice what it was before, and above a growth that
  would double the memory in about a quarter of an hour.
- Still failing: server errors of the route that no known exception explains.

Calls that failed before are mostly the fastest there were, and those that are healed now do
their whole work; so the failing share is taken off the fast end of whatever is compared with.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from selfheal_agent import histogram
from selfheal_engine.healer.sequential import growth

Durations = Mapping[int, Counter[int]]
"""pid -> cumulative durations of its requests, by bucket of `selfheal_agent.histogram`."""

LEAST_CALLS = 20
"""On each side of a comparison."""
Z_LEVEL = 4.0
"""One-sided: 3 in 100,000 for one look, 4 in 1,000 for a watch of 120 looks."""
BESIDE = (1.5, 0.010)
"""(factor, seconds) that a canary's median must exceed that of the other processes by."""
BEFORE = (2.0, 0.050)
"""The same against the time before the patch: traffic and machine may have changed since."""
MOST_FAILING = 0.5
"""Where more calls than this failed, nothing of before can be compared with."""
DOUBLING_S = 1000.0
LEAST_GROWTH = 50e3
"""Bytes per second that never count as harm."""
STILL_FAILING = 3


@dataclass(frozen=True, slots=True)
class Glimpse:
    """One light look at the service."""

    time_s: float
    memory: Mapping[int, float] = field(default_factory=dict)
    """pid -> resident bytes."""
    durations: Durations = field(default_factory=dict)


class SideEffects:
    """Collects glimpses of one watch; each question has its sentence, or "" for an answer."""

    def __init__(
        self,
        before: Counter[int],
        start: Glimpse | None,
        failing_share: float,
        growth_before: float | None,
    ) -> None:
        """`before` are durations of about the minute before the patch; `start` is the look at
        the moment it came into force; `growth_before` in bytes per second, None: not known.
        """
        self._before = before
        self._start = start
        self._last = start
        self._failing = failing_share
        self._growth_before = growth_before
        self._pids: frozenset[int] = frozenset()
        self._memory: list[tuple[float, float]] = []

    def look(self, glimpse: Glimpse) -> None:
        """Take one more glimpse."""
        self._last = glimpse
        if self._start is None:
            self._start = glimpse
        pids = frozenset(glimpse.memory)
        if pids != self._pids:  # a process came or went: the sum jumps by its size
            self._pids = pids
            self._memory.clear()
        if glimpse.memory:
            self._memory.append((glimpse.time_s, sum(glimpse.memory.values())))

    def start_again(self) -> None:
        """The patch is in force everywhere only now."""
        self._start = self._last
        self._memory.clear()

    # ------------------------------------------------------------ slower
    def slower(self, canary: tuple[int, ...]) -> str:
        """Whether answers take longer: of the `canary` than of the others, or than before."""
        if self._failing > MOST_FAILING:
            return ""
        since = self._since_start()
        if canary:
            patched = _together(since, since.keys() & set(canary))
            others = _together(since, since.keys() - set(canary))
            return _slower(patched, others, self._failing, BESIDE, "in the other processes")
        patched = _together(since, since)
        return _slower(patched, self._before, self._failing, BEFORE, "before")

    def _since_start(self) -> dict[int, Counter[int]]:
        if self._start is None or self._last is None:
            return {}
        none: Counter[int] = Counter()
        return {
            pid: counts - self._start.durations.get(pid, none)
            for pid, counts in self._last.durations.items()
        }

    # ------------------------------------------------------------ growing
    def growing(self, *, lately: bool = False) -> str:
        """Whether memory began to grow with the patch; `lately`: by the later half alone, so
        that what fills up and then stands is none.
        """
        series = self._memory[len(self._memory) // 2 :] if lately else self._memory
        found = growth([at for at, _ in series], [value for _, value in series])
        if found is None or self._growth_before is None:
            return ""
        slope, error = found
        least = max(LEAST_GROWTH, series[-1][1] / DOUBLING_S, 2 * self._growth_before)
        if slope - 3 * error <= least:
            return ""
        return f"memory grows {in_mb(slope)} since the patch, it was {in_mb(self._growth_before)}"


def still_failing(
    calls: int, errors: int, explained: int, share_before: float, unexplained_before: float
) -> bool:
    """Whether the route goes on failing though the exception is gone.

    `errors` of `calls` since the patch, `explained` of them by exceptions of other bugs;
    before, `share_before` of the calls failed by this bug and `unexplained_before` by nothing
    that was recorded.
    """
    unexplained = errors - explained
    if calls <= 0 or unexplained < STILL_FAILING:
        return False
    return unexplained / calls >= unexplained_before + 0.5 * share_before


def rank_sum_z(longer: Mapping[int, int], shorter: Mapping[int, int]) -> float:
    """Standard score of the Mann-Whitney statistic for "the first are longer than the second".

    Both are counts by bucket; ties (the same bucket) get their mean rank. 0.0 without calls.
    """
    first, second = sum(longer.values()), sum(shorter.values())
    total = first + second
    if not first or not second:
        return 0.0
    rank_sum, below, ties = 0.0, 0, 0.0
    for bucket in sorted({*longer, *shorter}):
        here = longer.get(bucket, 0) + shorter.get(bucket, 0)
        rank_sum += longer.get(bucket, 0) * (below + (here + 1) / 2)
        below += here
        ties += here**3 - here
    statistic = rank_sum - first * (first + 1) / 2
    spread = first * second / 12 * ((total + 1) - ties / (total * (total - 1)))
    if spread <= 0:
        return 0.0
    return (statistic - first * second / 2) / math.sqrt(spread)


def without_fastest(counts: Mapping[int, int], share: float) -> Counter[int]:
    """The counts without the given share (0-1) at their fast end."""
    left = round(share * sum(counts.values()))
    kept: Counter[int] = Counter()
    for bucket in sorted(counts):
        taken = min(left, counts[bucket])
        left -= taken
        if counts[bucket] > taken:
            kept[bucket] = counts[bucket] - taken
    return kept


def resident_bytes(pids: Iterable[int]) -> dict[int, float]:
    """Resident memory of each process that lives (proc(5), statm)."""
    page = os.sysconf("SC_PAGE_SIZE")
    found: dict[int, float] = {}
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):  # it has just ended
            words = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
            found[pid] = float(int(words[1]) * page)
    return found


def in_mb(bytes_per_s: float) -> str:
    """ "1.20 MB/min"."""
    return f"{bytes_per_s * 60 / 1e6:.2f} MB/min"


def _together(durations: Durations, pids: Iterable[int]) -> Counter[int]:
    total: Counter[int] = Counter()
    for pid in pids:
        total.update(durations[pid])
    return total


def _slower(
    patched: Counter[int],
    reference: Counter[int],
    failing: float,
    margin: tuple[float, float],
    where: str,
) -> str:
    compared = without_fastest(reference, failing)
    if min(sum(patched.values()), sum(compared.values())) < LEAST_CALLS:
        return ""
    now_s, then_s = (histogram.quantile_s(counts, 0.5) or 0.0 for counts in (patched, compared))
    if now_s < max(margin[0] * then_s, then_s + margin[1]):
        return ""
    if rank_sum_z(patched, compared) < Z_LEVEL:
        return ""
    return f"answers take {1000 * now_s:.0f} ms, {where} {1000 * then_s:.0f} ms"
