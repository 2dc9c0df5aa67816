"""What an ASCII terminal gets: the same layout, nothing that it cannot show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from selfheal_tui.plain_characters import STAND_INS, in_ascii, locale_is_ascii
from selfheal_widgets.words import SIGNS, STATE_SIGNS


@given(st.text(alphabet="ab ●▲─日é…\x1b[0m", max_size=40))
def test_every_text_keeps_its_width(text: str) -> None:
    plain = in_ascii(text)
    assert plain.isascii()
    assert cell_len(plain) == cell_len(text)


def test_every_stand_in_is_one_cell_for_one_cell() -> None:
    for sign, plain in STAND_INS.items():
        assert cell_len(sign) == len(plain) == 1, sign


def test_severities_and_states_can_still_be_told_apart() -> None:
    for signs in (SIGNS, {s: STATE_SIGNS[s] for s in ("open", "proposed", "watching", "healed")}):
        assert len({in_ascii(sign) for sign in signs.values()}) == len(signs)


@pytest.mark.parametrize(
    ("environ", "ascii_only"),
    [
        ({}, False),
        ({"LANG": "C"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, True),
        ({"LANG": "C.UTF-8"}, False),
        ({"LANG": "en_US.utf8", "LC_ALL": "POSIX"}, True),
        ({"LANG": "C", "LC_ALL": "en_US.UTF-8"}, False),
    ],
)
def test_a_locale_that_is_set_decides(environ: dict[str, str], ascii_only: bool) -> None:
    assert locale_is_ascii(environ) is ascii_only
