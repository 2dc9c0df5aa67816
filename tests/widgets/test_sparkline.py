"""The sparkline: what a column, a row and a height stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from selfheal_engine.model import ControlLimits
from selfheal_widgets.sparkline import BLOCKS, LIMIT, bucketed, heights, spark_rows

LIMITS = ControlLimits(0.0, 5.0, 10.0, 50)
Values = st.lists(st.one_of(st.none(), st.floats(0, 1e12)), max_size=60)


def test_a_column_is_the_largest_value_of_its_span() -> None:
    assert bucketed([0, 1, 2, 3, 4], [1.0, 5.0, 2.0, None, 3.0], 2.0, 10) == [5.0, 2.0, 3.0]


def test_columns_stay_where_they_are_until_their_span_is_over() -> None:
    times = [float(t) for t in range(7)]
    before = bucketed(times[:5], [1.0] * 5, 2.0, 10)
    within = bucketed(times[:6], [1.0] * 6, 2.0, 10)
    assert len(before) == len(within) == 3
    assert len(bucketed(times, [1.0] * 7, 2.0, 10)) == 4


def test_a_span_without_a_reading_is_a_gap_and_not_a_zero() -> None:
    columns = bucketed([0, 10], [1.0, 1.0], 2.0, 10)
    assert columns == [1.0, None, None, None, None, 1.0]
    assert spark_rows(columns, 6, 1, None)[0][1:5] == "    "


def test_only_what_is_beyond_the_limit_reaches_the_top_row() -> None:
    top, *_, bottom = spark_rows([1.0, 9.9, 10.1, 40.0], 4, 3, LIMITS)
    assert top[:2] == LIMIT * 2
    assert top[2] in BLOCKS[1:]
    assert top[3] == "█"
    assert bottom[3] == "█"


def test_without_limits_all_rows_share_one_scale() -> None:
    rows = spark_rows([0.0, 10.0], 2, 2, None)
    assert LIMIT not in "".join(rows)


@given(Values, st.integers(1, 5), st.integers(1, 40), st.booleans())
def test_every_row_has_exactly_the_width(
    values: list[float | None], rows: int, width: int, limited: bool
) -> None:
    drawn = spark_rows(values, width, rows, LIMITS if limited else None)
    assert [len(row) for row in drawn] == [width] * rows


@given(Values, st.integers(1, 5))
def test_a_larger_value_is_never_drawn_lower(values: list[float | None], rows: int) -> None:
    levels = heights(values, rows, LIMITS)
    known = sorted(
        (v, level) for v, level in zip(values, levels, strict=True) if v is not None and level
    )
    drawn = [level for _, level in known]
    assert drawn == sorted(drawn)


def test_ascii_uses_nothing_else() -> None:
    rows = spark_rows([1.0, 5.0, 40.0], 3, 3, LIMITS, ascii_only=True)
    assert "".join(rows).isascii()
