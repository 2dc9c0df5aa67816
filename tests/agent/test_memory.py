"""What the probe says of growth: how large it is, and what it must not touch while looking."""

from __future__ import annotations

from selfheal_agent.memory import _sizes_of


class Counting:
    """Says how often its size was asked for."""

    asked = 0

    def __sizeof__(self) -> int:
        type(self).asked += 1
        return 10_000_000


def test_an_element_is_as_large_as_what_it_alone_keeps():
    elements = [{"at": float(number), "body": f"{number}" * 10_000} for number in range(5)]
    assert 50_000 <= _sizes_of(elements) <= 60_000


def test_what_several_elements_share_is_not_theirs():
    shared = ["x" * 1_000_000]
    elements = [{"number": number, "settings": shared} for number in range(300, 305)]
    assert _sizes_of(elements) < 10_000


def test_a_size_that_the_service_computes_is_never_asked_for():
    assert _sizes_of([Counting() for _ in range(3)]) < 10_000
    assert Counting.asked == 0


def test_an_endless_graph_is_counted_up_to_its_bound():
    first: list[object] = [1.5]
    for number in range(5000):
        first = [first, float(number)]
    assert _sizes_of([first]) < 100_000
