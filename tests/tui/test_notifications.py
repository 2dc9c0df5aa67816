"""Bell and desktop notification: once for each proposal, never in quiet hours."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from selfheal_engine.errors import ConfigError
from selfheal_tui.notifications import ProposalBell, is_quiet, terminal_notification
from tests.tui import fake_engine


def test_a_proposal_rings_once() -> None:
    bell = ProposalBell()
    assert [i.number for i in bell.fresh(fake_engine.failing())] == [12]
    assert bell.fresh(fake_engine.failing()) == []
    other = replace(fake_engine.incident_proposed(), id="i13", number=13)
    later = replace(fake_engine.failing(), incidents=(other, fake_engine.incident_proposed()))
    assert [i.number for i in bell.fresh(later)] == [13]


def test_an_incident_without_a_proposal_rings_nothing() -> None:
    assert ProposalBell().fresh(fake_engine.searching()) == []


def _at(hour: int) -> float:
    return time.mktime((2026, 3, 2, hour, 30, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("hours", "hour", "quiet"),
    [
        ("", 3, False),
        ("22-7", 23, True),
        ("22-7", 3, True),
        ("22-7", 12, False),
        ("9-17", 12, True),
    ],
)
def test_quiet_hours_may_go_over_midnight(hours: str, hour: int, quiet: bool) -> None:
    assert is_quiet(hours, _at(hour)) is quiet


@pytest.mark.parametrize("hours", ["night", "22", "22-70"])
def test_impossible_quiet_hours_are_named(hours: str) -> None:
    with pytest.raises(ConfigError, match="should look like '22-7'"):
        is_quiet(hours, 0.0)


def test_the_notification_carries_no_control_characters_of_its_text() -> None:
    sent = terminal_notification("selfheal-tui", "a\x1b]0;evil\x07b")
    assert sent.count("\x1b") == 2
    assert sent.count("\x07") == 2
