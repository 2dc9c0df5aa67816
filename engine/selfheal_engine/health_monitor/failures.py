"""Requests that fail: how many of how many, over the last minutes, and whether that is usual.

Failures come in clumps (one caller with one bad form fails twice), so a burst is told only when
they are spread over several samples, or when nearly everything fails.
"""

from __future__ import annotations

import math
from collections import deque

from selfheal_engine.model import Sample

SHORT_S, LONG_S = 30.0, 300.0
SHARE, LEAST = 0.05, 3.0
"""Failing requests of the last SHORT_S that are bad whatever the service is used to."""
LONG_SHARE, LONG_LEAST = 0.25, 4.0
"""The same over LONG_S, for services that see a request a minute."""
SPREAD_SAMPLES, SPREAD_S = 3, 8.0
"""Failures in so many samples, so far apart ..."""
MANY, NEARLY_ALL = 10.0, 0.5
"""... or so many, and so nearly all, that there is nothing to wait for."""
USUAL_MEMORY_S, USUAL_MOST = 3600.0, 0.02


class Failures:
    """`update` every sample; `healed` forgets what came before."""

    __slots__ = ("_failed", "_interval_s", "_known", "_recent", "_since_s", "_usual")

    def __init__(self) -> None:
        self._recent: deque[tuple[float, float, float]] = deque()
        self._failed = 0.0
        self._interval_s = 0.0
        self._since_s = float("-inf")
        self._usual = 0.0
        self._known = 0
        """Samples that the usual share rests on."""

    def update(self, sample: Sample, *, learning: bool) -> None:
        failed = sample.counters.get("errors", 0.0)
        requests = sample.counters.get("requests", 0.0)
        recent = self._recent
        recent.append((sample.time_s, failed, requests))
        self._failed += failed
        self._interval_s = sample.interval_s
        while not 0.0 <= sample.time_s - recent[0][0] <= max(LONG_S, 3 * sample.interval_s):
            self._failed -= recent.popleft()[1]
        if learning and requests > 0:
            self._known += 1
            rate = min(max(sample.interval_s / USUAL_MEMORY_S, 1.0 / self._known), 1.0)
            share = min(failed / requests, USUAL_MOST)
            self._usual += rate * (share - self._usual)

    def healed(self, now_s: float) -> None:
        self._since_s = now_s

    def count(self, window_s: float) -> tuple[float, float]:
        """(failed, all) requests of the newest `window_s`."""
        failed = requests = 0.0
        for _, bad, every in self._window(window_s):
            failed += bad
            requests += every
        return failed, requests

    def share(self, window_s: float) -> float | None:
        """Share of requests that fail beyond the usual; None where there were no requests.

        Two failures are taken for somebody's bad luck (of few requests they say nothing), and
        so are two standard deviations of the usual number.
        """
        failed, requests = self.count(window_s)
        if requests <= 0:
            return None
        usual = self._usual * requests
        return max(0.0, failed - usual - 2.0 * math.sqrt(usual) - 2.0) / requests

    def told(self) -> str:
        """What is wrong, in words; "" when nothing is."""
        if self._failed < LEAST:
            return ""
        for window_s, least, share, words in (
            (SHORT_S, LEAST, SHARE, "30 s"),
            (LONG_S, LONG_LEAST, LONG_SHARE, "5 minutes"),
        ):
            failed, requests = self.count(window_s)
            if failed < least or failed < share * requests:
                continue
            overwhelming = failed >= MANY and failed >= NEARLY_ALL * requests
            if overwhelming or self._spread(window_s):
                return f"{failed:.0f} of {requests:.0f} requests failed in the last {words}"
        return ""

    def _spread(self, window_s: float) -> bool:
        times = [at for at, bad, _ in self._window(window_s) if bad > 0]
        return len(times) >= SPREAD_SAMPLES and times[0] - times[-1] >= SPREAD_S

    def _window(self, window_s: float) -> list[tuple[float, float, float]]:
        """Newest first."""
        if not self._recent:
            return []
        reach_s = max(window_s, 2 * self._interval_s)
        since = max(self._recent[-1][0] - reach_s, self._since_s)
        out = []
        for entry in reversed(self._recent):
            if entry[0] < since:
                break
            out.append(entry)
        return out
