from geo import Locator


def test_recent_addresses_are_still_remembered():
    locator = Locator()
    for _ in range(3):
        for number in range(60):
            locator.locate(f"10.0.0.{number}")
    assert locator.lookups == 60


def test_after_a_flood_places_are_still_right_and_remembered():
    locator = Locator()
    before = locator.locate("10.0.0.1")
    for number in range(9000):
        locator.locate(f"10.9.{number // 250}.{number % 250}")
    assert locator.locate("10.0.0.1") == before
    locator.locate("10.77.0.1")
    count = locator.lookups
    locator.locate("10.77.0.1")
    assert locator.lookups == count
