from collector import Tally


def test_the_thread_outlives_a_poison_message():
    tally = Tally()
    tally.submit({"host": "a", "lines": [{"level": 40}]})
    tally.start()
    tally.join(0.5)
    assert tally.is_alive()
    tally.submit(None)
    tally.join(5)
    assert not tally.is_alive()
