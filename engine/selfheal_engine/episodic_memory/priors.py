"""What past healings say about the next patch, as Beta posteriors.

A patch either heals or does not: a Bernoulli trial, whose conjugate prior is the Beta
distribution (Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.4). With s successes
and f failures a Beta(a0, b0) prior becomes Beta(a0 + s, b0 + f), with mean
(a0 + s) / (a0 + b0 + s + f).

A strategy starts from Beta(1, 1), the uniform prior. Everything finer - a template, a bug
type, a framework, a project - starts from its strategy's posterior mean m with the weight of
two trials, Beta(2 m, 2 (1 - m)) (the hierarchical idea of the same book, chapter 5, with a
fixed weight): a template never tried is as good as its strategy, and two or three results of
its own outweigh that.

For one incident, what is known of its bug type, framework and project moves the odds of every
strategy and template: each is multiplied by the ratio of the finer odds to the strategy's, as if
the three were independent given the outcome (naive Bayes; Domingos and Pazzani, "On the
Optimality of the Simple Bayesian Classifier", 1997), within a factor of four. Where nothing was
tried the finer mean is the strategy's, and the ratio one.

A success is an episode that ended healed; a failure one that was rolled back, and a patch
that a person rejected. Dismissed incidents say nothing about patches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from selfheal_engine.model import Episode

INHERITED_TRIALS = 2.0
"""How many trials the strategy's mean counts for, where something finer has none."""
MOST_CONTEXT = 4.0
"""Bug type, framework and project together move the odds by this factor at most."""

Tally = dict[str, tuple[float, float]]
"""key -> (successes, failures), without any prior."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One patch that was tried or judged."""

    success: bool
    strategy: str
    template: str = ""
    bug_type: str = ""
    framework: str = ""
    project: str = ""


def outcome_of(episode: Episode) -> Outcome | None:
    """What an episode teaches; None when it says nothing about a patch.

    A rejected episode says nothing here: each rejected patch is recorded by itself.
    """
    if episode.state not in ("healed", "rolled_back") or not episode.strategy:
        return None
    return Outcome(
        episode.state == "healed",
        episode.strategy,
        episode.template,
        episode.bug_type,
        episode.framework,
        episode.service,
    )


def keys(outcome: Outcome) -> list[str]:
    """Every key that the outcome counts for, coarse to fine."""
    strategy = outcome.strategy
    found = [strategy]
    if outcome.template:
        found.append(f"{strategy}/{outcome.template}")
    if outcome.bug_type:
        found.append(f"{outcome.bug_type}:{strategy}")
    if outcome.framework:
        found.append(f"framework {outcome.framework}:{strategy}")
    if outcome.project:
        found.append(f"project {outcome.project}:{strategy}")
    return found


def tally(outcomes: Iterable[Outcome], start: Mapping[str, tuple[float, float]]) -> Tally:
    """Successes and failures by key, on top of what `start` holds."""
    successes: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for outcome in outcomes:
        (successes if outcome.success else failures).update(keys(outcome))
    every = {*start, *successes, *failures}
    return {
        key: (start.get(key, (0, 0))[0] + successes[key], start.get(key, (0, 0))[1] + failures[key])
        for key in sorted(every)
    }


def posteriors(counts: Mapping[str, tuple[float, float]]) -> Tally:
    """Beta parameters (alpha, beta) by key; the mean is alpha / (alpha + beta)."""
    found: Tally = {}
    for key, (successes, failures) in counts.items():
        strategy = strategy_of(key)
        if key == strategy:
            found[key] = (1 + successes, 1 + failures)
            continue
        above = counts.get(strategy, (0, 0))
        mean = (1 + above[0]) / (2 + above[0] + above[1])
        found[key] = (
            INHERITED_TRIALS * mean + successes,
            INHERITED_TRIALS * (1 - mean) + failures,
        )
    return found


def in_context(
    found: Mapping[str, tuple[float, float]], bug_type: str, framework: str, project: str
) -> Tally:
    """The posteriors as they stand for an incident of this bug type, framework and project.

    Strategies and templates keep their weight (alpha + beta); the finer keys stay as they are.
    """
    about = (f"{bug_type}:", f"framework {framework}:", f"project {project}:")
    factors: dict[str, float] = {}
    for strategy in {strategy_of(key) for key in found} & found.keys():
        usual = _odds(found[strategy])
        factor = 1.0
        for prefix in about:
            factor *= _odds(found.get(prefix + strategy, found[strategy])) / usual
        factors[strategy] = min(MOST_CONTEXT, max(1 / MOST_CONTEXT, factor))
    moved: Tally = {}
    for key, (alpha, beta) in found.items():
        factor = 1.0 if ":" in key else factors.get(strategy_of(key), 1.0)
        share = alpha * factor / (alpha * factor + beta)
        moved[key] = ((alpha + beta) * share, (alpha + beta) * (1 - share))
    return moved


def _odds(posterior: tuple[float, float]) -> float:
    return posterior[0] / posterior[1]


def strategy_of(key: str) -> str:
    """The strategy that a key belongs to."""
    return key.rpartition(":")[2].partition("/")[0]


def shareable(counts: Mapping[str, tuple[float, float]]) -> Tally:
    """The counts without anything that names a project."""
    return {key: value for key, value in counts.items() if not key.startswith("project ")}
