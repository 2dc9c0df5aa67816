"""Requests that the service itself tells of, by route: spans, transactions, metrics.

Several of these may tell of the same requests, so only one counts: the most exact that has
told anything. Metrics see every request, transactions and spans only those that were sampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from selfheal_agent import histogram
from selfheal_engine.sources.probes import RouteCounts
from selfheal_engine.sources.tellings import Buckets, Request

EXACTNESS = ("sentry", "otlp spans", "otlp metrics", "prometheus")
"""Who may tell of requests, the most exact last."""
MAX_ROUTES = 500
OTHERS = "(other routes)"


class Traffic:
    """Cumulative requests, errors and durations, as the most exact teller has them."""

    def __init__(self) -> None:
        self.routes: dict[str, RouteCounts] = {}
        self.requests = 0
        self.errors = 0
        self.teller = ""

    def add(self, teller: str, request: Request) -> None:
        """Count one request."""
        counts = self._counts(teller, request.route, 1, int(request.failed))
        if counts is not None:
            counts.histogram[histogram.bucket(request.duration_s)] += 1

    def add_buckets(self, teller: str, told: Buckets) -> None:
        """The same from a histogram.

        Durations are spread evenly over their bucket; what lies above the last bound is taken
        to lie at it, as Prometheus' histogram_quantile does.
        """
        counts = self._counts(teller, told.route, told.requests, told.errors)
        bounds_s = told.bounds_s
        if counts is None or not bounds_s:
            return
        for index, count in enumerate(told.in_bucket):
            low = bounds_s[index - 1] if index else 0.0
            high = bounds_s[index] if index < len(bounds_s) else low
            if index >= len(bounds_s) or not math.isfinite(high):
                low = high = bounds_s[min(index, len(bounds_s)) - 1]
            slices = min(16, count)
            for part in range(slices):
                share = count * (part + 1) // slices - count * part // slices
                middle = low + (high - low) * (part + 0.5) / slices
                counts.histogram[histogram.bucket(middle)] += share

    def _counts(self, teller: str, route: str, requests: int, errors: int) -> RouteCounts | None:
        if teller != self.teller:
            if self.teller and EXACTNESS.index(teller) < EXACTNESS.index(self.teller):
                return None
            self.teller = teller
        if route not in self.routes and len(self.routes) >= MAX_ROUTES:
            route = OTHERS
        counts = self.routes.setdefault(route, RouteCounts())
        counts.requests += requests
        counts.errors += errors
        self.requests += requests
        self.errors += errors
        return counts


def per_bucket(cumulative: Sequence[int]) -> list[int]:
    """Counts of each bucket from counts up to each bucket's bound."""
    return [max(0, n - (cumulative[i - 1] if i else 0)) for i, n in enumerate(cumulative)]
