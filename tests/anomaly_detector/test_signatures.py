"""The catalogue of known patterns: every entry carries its own proof."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from selfheal_engine.anomaly_detector.bug_types import BUG_TYPES
from selfheal_engine.anomaly_detector.series import Series
from selfheal_engine.anomaly_detector.signatures import (
    Signature,
    SignatureMatcher,
    catalogue,
    draw,
    load_catalogue,
    parse,
)
from selfheal_engine.errors import ConfigError
from selfheal_engine.model import METRICS, Reading, Sample

STEP_S = 5.0


def play(signature: Signature, example: Mapping[str, str]) -> list[str]:
    """Texts of the alerts while the example runs, with two per cent of noise on every series."""
    rng = np.random.default_rng(7)
    matcher, series = SignatureMatcher([signature]), Series()
    drawn = {name: np.array(draw(notation)) for name, notation in example.items()}
    (length,) = {len(values) for values in drawn.values()}
    told = []
    for row in range(length):
        now_s = 1000.0 + row * STEP_S + float(drawn.get("clock_jump_s", np.zeros(length))[row])
        values = {
            name: float(column[row] * rng.uniform(0.98, 1.02)) for name, column in drawn.items()
        }
        readings = {n: Reading(v) for n, v in values.items() if n in METRICS}
        counters = {n: v for n, v in values.items() if n not in METRICS}
        deployed = counters.pop("since_deploy_s", None)
        if deployed is not None:
            counters["deploy"] = float(deployed < 1000)
        told_now, _ = matcher.match(
            now_s, _appended(series, Sample(now_s, STEP_S, readings, counters))
        )
        told += [alert.text for alert in told_now]
    return told


def _appended(series: Series, sample: Sample) -> Series:
    series.append(sample)
    return series


@pytest.mark.parametrize("signature", catalogue(), ids=lambda s: s.name)
def test_a_signature_matches_its_example(signature: Signature) -> None:
    assert play(signature, signature.example)


@pytest.mark.parametrize("signature", catalogue(), ids=lambda s: s.name)
def test_a_signature_lets_its_counter_example_pass(signature: Signature) -> None:
    assert play(signature, signature.counter_example) == []


@pytest.mark.parametrize("signature", catalogue(), ids=lambda s: s.name)
def test_a_signature_speaks_of_known_metrics_and_bug_types(signature: Signature) -> None:
    assert set(signature.metrics) <= set(METRICS)
    assert {name for name, _ in signature.bug_types} <= set(BUG_TYPES)
    assert signature.suspects in ("", "leak", "stall")


def test_the_catalogue_covers_the_known_patterns_once_each() -> None:
    names = [s.name for s in catalogue()]
    assert len(names) == len(set(names)) >= 16


def test_a_person_can_add_signatures_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "signatures.toml"
    file.write_text(
        "[[signature]]\n"
        'name = "too_many_carts"\n'
        'title = "{0} carts are open"\n'
        'when = [{ of = "carts", is = "level", above = 100 }]\n'
    )
    (own,) = load_catalogue(file)
    assert play(own, {"carts": "10x20 500x10"})[0].endswith("carts are open")


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ('name = "x"\ntitle = "x"\nwhen = [{ of = "a", is = "tall", above = 1 }]', "tall"),
        ('name = "x"\ntitle = "x"\nwhen = [{ of = "a", is = "level" }]', "neither above nor"),
        ('name = "x"\ntitle = "x"\nwhen = []', "no conditions"),
        ('name = "x"\nwhen = [{ of = "a", is = "level", above = 1 }]', "title"),
        (
            'name = "x"\ntitle = "x"\nseverity = "bad"\n'
            'when = [{ of = "a", is = "level", above = 1 }]',
            "severity",
        ),
    ],
)
def test_a_wrong_entry_is_named_with_what_is_wrong(entry: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse(f"[[signature]]\n{entry}\n", "mine.toml")


def test_a_file_that_is_not_toml_is_said_to_be_so(tmp_path: Path) -> None:
    file = tmp_path / "signatures.toml"
    file.write_text("[[signature]\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_catalogue(file)
