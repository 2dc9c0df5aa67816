"""`HealingStats` from the episodes: each figure with how it is computed.

- detections: every episode is one detected incident.
- false alarms: episodes that a person dismissed, or rejected as a whole: that is their verdict
  that there was nothing to heal.
- patch success rate: healed / (healed + rolled back), of the patches that were put in force.
- MTTR: first occurrence to healed, seconds; median and 90th percentile (nearest rank).
- downtime avoided: what the incident would have run on without the healing, less what it did
  run. It would have run on as long as unhealed incidents did: the mean length of the
  episodes that ended without a patch in force (rolled back, rejected, dismissed), at least one
  hour when there are fewer than three of these, and never less than the healing itself took.
- by strategy: all of these again over the episodes whose (applied, rejected) patch was of the
  strategy; what an unhealed incident would have cost is taken from all strategies together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median

from selfheal_engine.model import Episode, HealingStats

UNHEALED_S = 3600.0
"""Assumed length of an unhealed incident while there are too few to learn from."""
ENOUGH_UNHEALED = 3


def healing_stats(episodes: Iterable[Episode]) -> HealingStats:
    """The figures over `episodes`, and over each strategy's alone."""
    every = list(episodes)
    unhealed_s = _unhealed_s(every)
    of_strategy: dict[str, list[Episode]] = {}
    for episode in every:
        if episode.strategy:
            of_strategy.setdefault(episode.strategy, []).append(episode)
    strategies = {name: _figures(own, unhealed_s) for name, own in sorted(of_strategy.items())}
    return replace(_figures(every, unhealed_s), strategies=strategies)


def _figures(every: list[Episode], unhealed_s: float) -> HealingStats:
    healed = [episode for episode in every if episode.state == "healed"]
    rolled_back = [episode for episode in every if episode.state == "rolled_back"]
    rejected = [episode for episode in every if episode.state == "rejected"]
    dismissed = [episode for episode in every if episode.state == "dismissed"]
    # what went away by itself, or was handed over as a file, nobody called a false alarm
    judged_false = [episode for episode in dismissed if episode.decision == "dismiss"]
    applied = len(healed) + len(rolled_back)
    mttr = sorted(episode.mttr_s for episode in healed if episode.mttr_s is not None)
    by_strategy: dict[str, tuple[int, int]] = {}
    for episode in healed + rolled_back:
        if episode.strategy:
            tried, worked = by_strategy.get(episode.strategy, (0, 0))
            by_strategy[episode.strategy] = (tried + 1, worked + (episode.state == "healed"))
    return HealingStats(
        incidents=len(every),
        healed=len(healed),
        rolled_back=len(rolled_back),
        rejected=len(rejected),
        false_alarms=len(judged_false) + len(rejected),
        patch_success_rate=len(healed) / applied if applied else None,
        mttr_median_s=median(mttr) if mttr else None,
        mttr_p90_s=nearest_rank(mttr, 0.9) if mttr else None,
        downtime_avoided_s=sum(max(0.0, unhealed_s - taken) for taken in mttr),
        by_strategy=by_strategy,
    )


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """The smallest value with at least `share` of the values at or below it."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _unhealed_s(episodes: Iterable[Episode]) -> float:
    """How long an incident runs on that is not healed."""
    lengths = [e.ended_s - e.first_seen_s for e in episodes if e.state != "healed"]
    lengths = [length for length in lengths if length > 0]
    return sum(lengths) / len(lengths) if len(lengths) >= ENOUGH_UNHEALED else UNHEALED_S
