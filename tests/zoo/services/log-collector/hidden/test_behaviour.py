import pytest

from collector import Tally


@pytest.mark.parametrize(
    "poison",
    [
        {"host": "a", "lines": [{"level": 40}]},
        {"host": "a", "lines": [{"level": None}]},
    ],
)
def test_what_comes_after_a_poison_message_is_counted(poison, caplog):
    tally = Tally()
    for each in (poison, {"host": "b", "lines": [{"level": "info"}]}, poison, {"host": "c", "lines": [{"level": "error"}]}):
        tally.submit(each)
    tally.submit(None)
    tally.start()
    tally.join(5)
    assert not tally.is_alive()
    assert tally.counts["b", "info"] == 1
    assert tally.counts["c", "error"] == 1
    said = caplog.records or any(host == "a" for host, _ in tally.counts)
    assert said, "the message is neither counted nor mentioned anywhere"
