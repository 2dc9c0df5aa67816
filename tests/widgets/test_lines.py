"""Lines of spans keep their width, and words keep their unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal_engine.model import ControlLimits
from selfheal_widgets.lines import columns, fit, line, pad, plain, safe, spread, width_of, wrap
from selfheal_widgets.words import (
    amount,
    band,
    duration,
    number,
    percent,
    short_command,
    short_path,
    size,
    trend,
)

Text = st.text(alphabet="ab ▲日本é", max_size=30)


@given(Text, Text, st.integers(1, 60))
def test_a_line_never_exceeds_its_width(left: str, right: str, width: int) -> None:
    assert width_of(fit(line(left, (right, "muted")), width)) <= width
    assert width_of(pad(line(left), width)) == width
    assert width_of(spread(line(left), line(right), width)) <= width


def test_what_was_cut_is_marked() -> None:
    assert plain(fit(line("checkout.py:88"), 10)) == "checkout.…"


def test_the_right_side_is_kept_when_the_left_is_long() -> None:
    assert plain(spread(line("a" * 50), line("healed"), 20)).endswith("  healed")


def test_numbers_stand_at_the_right_of_their_column() -> None:
    assert plain(columns([(line("7"), -4), (line("x"), 3)])) == "   7  x  "


def test_control_characters_become_visible_and_harmless() -> None:
    assert safe("a\tb\x1b[31mc\r\n") == "a b·[31mc  "


def test_paragraphs_are_wrapped_with_their_blank_lines() -> None:
    assert [plain(x) for x in wrap("one two\n\nthree", 8)] == ["one two", "", "three"]


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("cpu_usage", 23.4, "23 %"),
        ("memory_usage", 182_000_000, "182 MB"),
        ("memory_usage", 1_250_000_000, "1.25 GB"),
        ("error_rate", 41.0, "41 /min"),
        ("response_time", 84.2, "84 ms"),
        ("response_time", 12_340.0, "12.3 s"),
        ("queue_depth", 3.0, "3 waiting"),
        ("deadlock_risk", 0.0, "0.00"),
        ("anomaly_score", 0.974, "0.97"),
    ],
)
def test_every_metric_is_told_with_its_unit(metric: str, value: float, text: str) -> None:
    assert amount(metric, value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.07, "70 ms"), (2.14, "2.1 s"), (42, "42 s"), (89.6, "90 s"), (720, "12 min"),
     (7200, "2 h"), (200_000, "2 d")],
)  # fmt: skip
def test_durations_use_their_largest_sensible_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_file_is_named_from_what_holds_it() -> None:
    assert short_path("/srv/shop/shop/cart.py", "/srv/shop/") == "shop/cart.py"
    assert short_path("/v/lib/python3.11/site-packages/flask/app.py") == "flask/app.py"
    assert short_path("/usr/lib/python3.12/threading.py") == "threading.py"
    assert short_path("/srv/shopping/x.py", "/srv/shop") == "/srv/shopping/x.py"


@pytest.mark.parametrize(
    ("command", "short"),
    [
        ("/srv/venv/bin/python /srv/venv/bin/gunicorn -w 2 shop:app", "gunicorn -w 2 shop:app"),
        ("/usr/bin/python3 -m http.server 8000", "python3 -m http.server 8000"),
        ("python app.py", "app.py"),
        ("", ""),
    ],
)
def test_a_command_is_what_a_person_would_type(command: str, short: str) -> None:
    assert short_command(command) == short


def test_small_words() -> None:
    assert number(0.1234) == "0.12"
    assert number(float("nan")) == "-"
    assert size(999) == "999 B"
    assert trend("memory_usage", -1_200_000) == "-1.2 MB/min"
    assert trend("cpu_usage", 1.26) == "+1.3 %/min"
    assert trend("cpu_usage", 0.0001) == ""
    assert percent(0.913) == "91 %"
    assert band("cpu_usage", ControlLimits(-3, 10, 38.4, 9)) == "3σ 0-38"
