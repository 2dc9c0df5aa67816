"""Months of seven metrics in bounded memory, kept across restarts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from selfheal_engine.health_monitor.profile import HourProfile
from selfheal_engine.health_monitor.rollups import LEVELS, RAW_SAMPLES, STATISTICS, Rollups, _Ring
from selfheal_engine.health_monitor.state_file import load_profiles, save_profiles
from selfheal_engine.model import METRICS


def filled(samples: int, start_s: float = 0.0) -> Rollups:
    rollups = Rollups()
    for i in range(samples):
        rollups.append(start_s + 5.0 * i, [float(i % 12)] * 6 + [None])
    return rollups


def test_a_minute_is_summed_up_by_least_mean_most_and_p95() -> None:
    times, rows = filled(13).level("1min")
    assert list(times) == [0.0]
    assert list(rows[0, 0]) == [0.0, 5.5, 11.0, 11.0]
    assert STATISTICS == ("min", "mean", "max", "p95")


def test_a_metric_that_was_never_there_stays_unknown() -> None:
    _, rows = filled(13).level("1min")
    assert np.isnan(rows[0, METRICS.index("anomaly_score")]).all()


def test_the_newest_sample_takes_the_score_that_comes_after_it() -> None:
    rollups = filled(3)
    rollups.amend("anomaly_score", 0.5)
    _, rows = rollups.raw(3)
    assert rows[-1, -1] == np.float32(0.5)
    assert np.isnan(rows[-2, -1])


def test_rings_overwrite_the_oldest_and_keep_order() -> None:
    ring = _Ring(300, (1,))
    for i in range(1000):
        ring.append(i, [i])
    times, rows = ring.last(5)
    assert list(times) == [995, 996, 997, 998, 999]
    assert rows[:, 0].tolist() == [995, 996, 997, 998, 999]
    assert len(ring) == 300


def test_everything_full_is_less_than_twelve_megabytes() -> None:
    columns = len(METRICS)
    raw = RAW_SAMPLES * (8 + 4 * columns)
    levels = sum(kept * (8 + 4 * columns * len(STATISTICS)) for _, kept in LEVELS.values())
    assert raw + levels < 12 * 2**20


def test_rollups_survive_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "state" / "rollups.npz"
    before = filled(400)
    before.save(file)
    after = Rollups()
    assert after.load(file)
    for name in LEVELS:
        for a, b in zip(before.level(name), after.level(name), strict=True):
            np.testing.assert_array_equal(a, b)
    assert [p.name for p in file.parent.iterdir()] == ["rollups.npz"]


def test_a_damaged_file_is_as_good_as_none(tmp_path: Path) -> None:
    file = tmp_path / "rollups.npz"
    for content in (b"", b"PK\x03\x04 cut short", b"\x93NUMPY"):
        file.write_bytes(content)
        assert not Rollups().load(file)
    assert not Rollups().load(tmp_path / "missing.npz")


def test_the_hour_profile_is_used_after_three_days_and_survives(tmp_path: Path) -> None:
    profile = HourProfile()
    for day in range(4):
        for hour in range(24):
            assert profile.ready == (day >= 3 and (day > 3 or hour > 0))
            for i in range(60):
                profile.learn((day * 24 + hour) * 3600.0 + 60 * i, 10.0 + (hour == 3))
    assert profile.offset(3.5 * 3600) > 0.9
    assert abs(profile.offset(12.5 * 3600)) < 0.1
    save_profiles(tmp_path / "p.json", {"cpu_usage": profile})
    again = HourProfile()
    assert load_profiles(tmp_path / "p.json", {"cpu_usage": again})
    assert again.offset(3.5 * 3600) == profile.offset(3.5 * 3600)


def test_a_damaged_profile_is_as_good_as_none(tmp_path: Path) -> None:
    for content in ("", "[]", '{"version": 9, "profiles": {}}', '{"version": 1}'):
        (tmp_path / "p.json").write_text(content)
        assert not load_profiles(tmp_path / "p.json", {"cpu_usage": HourProfile()})
