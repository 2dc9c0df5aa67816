import pytest

from web import NoSuchUnit, convert


def test_lengths():
    assert convert("length", "km", "m", 2) == 2000
    assert round(convert("length", "m", "ft", 1), 3) == 3.281


def test_unknown_units():
    for words in [("length", "m", "parsec"), ("taste", "sweet", "sour")]:
        with pytest.raises(NoSuchUnit):
            convert(*words, 1)
