"""Records of one kind of which one place writes a key otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfheal_engine.diagnosis import diagnose
from selfheal_engine.patch_generator.rules import Example
from tests.patch_generator.playing import occurrence_of, project_of

RECORDS = """
    def arrived(amount):
        return {{"sku": "a", "at": 1, "quantity": amount}}


    def left(amount):
        return {{{left}}}


    def f():
        arrived(1)
        return left(2)["quantity"]{further}
    """


@pytest.mark.parametrize(
    ("left", "further", "odd"),
    [
        ('"sku": "a", "at": 2, "qty": -amount', "", True),
        # nothing in its place, a key of its own, too little in common, read by this name
        ('"sku": "a", "at": 2', "", False),
        ('"sku": "a", "at": 2, "qty": 1, "by": 2', "", False),
        ('"name": "a", "at": 2, "qty": 1', "", False),
        ('"sku": "a", "at": 2, "qty": 1', ' + left(2)["qty"]', False),
    ],
)
def test_who_writes_another_key_in_its_place_is_suspected(
    left: str, further: str, odd: bool, tmp_path: Path
) -> None:
    example = Example(RECORDS.format(left=left, further=further))
    found = diagnose(occurrence_of(example, tmp_path), project_of(example, tmp_path))
    assert (found.suspects[0].function == "left") is odd
    assert (found.bug_type == "logic_correction") is odd
