"""A mergeable histogram of durations: counts by logarithmic bucket.

Bucket i holds durations in (BASE^i, BASE^(i+1)] microseconds with BASE = 1.08, so a quantile
read from it is within 4 % of the true one (the DDSketch bound, arXiv:1908.10693, alpha = 0.04).
Two histograms merge by adding counts.
"""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Mapping

BASE = 1.08
_SCALE = 1.0 / math.log(BASE)
_log = math.log


def bucket(seconds: float) -> int:
    """The bucket of a duration in seconds; everything up to 1 us is in bucket 0."""
    micros = seconds * 1e6
    return int(_log(micros) * _SCALE) if micros > 1.0 else 0


def middle_s(index: int) -> float:
    """The duration that stands for a bucket, in seconds."""
    return float(BASE ** (index + 0.5) / 1e6)


def quantile_s(counts: Mapping[int, int], q: float) -> float | None:
    """The q-quantile in seconds, None of nothing."""
    total = sum(counts.values())
    if total <= 0:
        return None
    rank = q * (total - 1)
    seen = 0
    for index in sorted(counts):
        seen += counts[index]
        if seen > rank:
            return middle_s(index)
    return middle_s(max(counts))
