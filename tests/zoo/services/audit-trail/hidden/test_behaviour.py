from admin.trail import Trail


def test_the_last_fifty_are_all_there():
    trail = Trail()
    for number in range(500):
        trail.record("ada", f"k{number}", "b" * number)
    latest = trail.latest(50)
    assert [action["what"] for action in latest] == [f"k{number}" for number in range(499, 449, -1)]
    assert latest[0]["size"] == 499
    assert len(trail.latest(1000)) == 50
    assert len(trail.latest(3)) == 3
