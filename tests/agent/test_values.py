"""Pictures of values: bounded, scrubbed, and made without the service's code."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal_agent.scrub import SCRUBBED, is_secret_name, scrub_text
from selfheal_agent.values import MAX_NODES, picture, picture_all


class Hostile:
    """Every hook that a careless observer would call ends the test."""

    def __init__(self) -> None:
        self.inside = 1

    def _never(self, *_: Any) -> Any:
        raise SystemExit("user code ran")

    __repr__ = __str__ = __len__ = __iter__ = __hash__ = __bool__ = __eq__ = _never  # type: ignore[assignment]
    __getattr__ = __reduce__ = __reduce_ex__ = __format__ = _never  # type: ignore[assignment]

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise SystemExit("user code ran")


@dataclasses.dataclass
class Order:
    number: int
    address: dict[str, str] | None


def test_no_hook_of_a_hostile_object_is_called() -> None:
    seen = picture(Hostile())
    assert seen["type_name"] == "Hostile"
    assert [name for name, _ in seen["children"]] == ["inside"]


def test_none_is_told_from_everything_else() -> None:
    seen = dict(picture(Order(7, None))["children"])
    assert seen["address"]["type_name"] == "NoneType"
    assert seen["number"]["text"] == "7"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime.datetime(2024, 1, 2, 10), "2024-01-02 10:00:00"),
        (
            datetime.datetime(2024, 1, 2, 10, tzinfo=datetime.UTC),
            "2024-01-02 10:00:00+00:00",
        ),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (datetime.timedelta(days=1, seconds=5), "1 day, 0:00:05"),
        (decimal.Decimal("1.20"), "1.20"),
    ],
)
def test_moments_and_exact_numbers_say_their_value(value: object, text: str) -> None:
    assert picture(value)["text"] == text
    assert (
        picture([[[value]]])["children"][0][1]["children"][0][1]["children"][0][1]["text"] == text
    )


def test_a_zone_of_the_service_is_named_and_not_asked() -> None:
    class Zone(datetime.tzinfo):
        def utcoffset(self, moment: Any) -> Any:
            raise SystemExit("user code ran")

    value = datetime.datetime(2024, 1, 2, 10, tzinfo=Zone())
    assert picture(value)["text"] == "2024-01-02 10:00:00 Zone"


def test_a_class_that_only_says_it_is_of_the_standard_library_is_not_asked() -> None:
    class Decimal(Hostile):
        __module__ = "decimal"

    assert "text" not in picture(Decimal())


def test_text_is_cut_and_its_true_length_kept() -> None:
    seen = picture("x" * 1_000_000)
    assert seen["length"] == 1_000_000
    assert len(seen["text"]) <= 200
    assert seen["truncated"]


def test_a_cyclic_structure_ends() -> None:
    ring: list[Any] = []
    ring.append(ring)
    assert picture(ring)["length"] == 1


def test_the_number_of_nodes_is_bounded() -> None:
    wide = {str(i): {str(j): [1, 2, 3] for j in range(50)} for i in range(50)}

    def count(value: dict[str, Any]) -> int:
        return 1 + sum(count(child) for _, child in value.get("children", ()))

    assert count(picture(wide)) <= MAX_NODES + 16


def test_subclasses_of_containers_show_their_elements() -> None:
    seen = picture(collections.OrderedDict(a=1))
    assert seen["children"][0][0] == "a"
    assert picture(collections.deque([5]))["children"][0][1]["text"] == "5"


@pytest.mark.parametrize(
    "name", ["password", "api_key", "API-KEY", "Authorization", "session_id", "card_number", "cvv"]
)
def test_values_under_a_secret_name_are_scrubbed(name: str) -> None:
    assert is_secret_name(name)
    seen = picture({"outer": [{name: "hunter22"}]})
    assert "hunter22" not in repr(seen)
    assert SCRUBBED in repr(seen)


@pytest.mark.parametrize("name", ["author", "max_tokens", "compass", "monkey", "address"])
def test_ordinary_names_are_left_alone(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    [
        "Bearer abcdef1234567890",
        "postgres://joe:hunter22@db/shop",
        "key AKIAABCDEFGHIJKLMNOP",
        "pay with 4111 1111 1111 1111 please",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "/login?user=joe&password=hunter22",
    ],
)
def test_secrets_inside_text_are_scrubbed(text: str) -> None:
    assert SCRUBBED in scrub_text(text)


def test_long_numbers_that_are_no_cards_stay() -> None:
    assert scrub_text("order 1234567890123456") == "order 1234567890123456"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=40,
)


@given(values)
def test_every_plain_value_has_a_picture_of_json(value: Any) -> None:
    import json

    json.dumps(picture(value))


def test_dunder_variables_are_left_out() -> None:
    assert [name for name, _ in picture_all({"__builtins__": 1, "x": 2})] == ["x"]
