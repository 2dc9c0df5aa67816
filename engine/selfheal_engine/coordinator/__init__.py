"""The coordinator: sources in, healings out; the only room that knows all the others.

`engine.SelfHealingCoordinator` is the way in. Inside: `loop` is the thread, `ledger` the state
machine's book, `investigation` the way from open to proposed, `healing` the way from approved
to healed (`watching` what its watch is shown, `rebasing` patches of changed files), `policy` what
needs no person, `decisions` what a person says, `overview` what screens show, `holding` which
engine may write.
"""

from selfheal_engine.coordinator.engine import HealthReport, SelfHealingCoordinator

__all__ = ["HealthReport", "SelfHealingCoordinator"]
