import pytest

from web import NoSuchUnit, convert


@pytest.mark.parametrize(
    ("source", "target", "value", "result"),
    [("C", "F", 100, 212), ("F", "C", 32, 0), ("C", "K", 0, 273.15), ("K", "C", 0, -273.15)],
)
def test_temperatures(source, target, value, result):
    assert convert("temperature", source, target, value) == pytest.approx(result)


def test_others_are_still_unknown():
    with pytest.raises(NoSuchUnit):
        convert("temperature", "C", "R", 1)
