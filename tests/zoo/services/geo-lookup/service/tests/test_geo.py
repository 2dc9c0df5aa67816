import pytest

from geo import LANGUAGES, Locator


def test_a_place_has_its_names():
    place = Locator().locate("10.0.0.1")
    assert set(place["names"]) == set(LANGUAGES)


def test_an_address_is_looked_up_once():
    locator = Locator()
    first = locator.locate("10.0.0.1")
    assert locator.locate("10.0.0.1") == first
    assert locator.lookups == 1


def test_what_is_no_address():
    with pytest.raises(ValueError):
        Locator().locate("home")
