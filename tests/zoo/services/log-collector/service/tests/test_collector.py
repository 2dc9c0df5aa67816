from collector import Tally


def batch(*levels, host="web1"):
    return {"host": host, "lines": [{"level": level, "text": "x"} for level in levels]}


def drain(tally):
    tally.start()
    tally.submit(None)
    tally.join(5)
    assert not tally.is_alive()


def test_lines_are_counted_by_host_and_level():
    tally = Tally()
    tally.submit(batch("info", "INFO", "error"))
    tally.submit(batch("info", host="web2"))
    drain(tally)
    assert tally.counts == {("web1", "info"): 2, ("web1", "error"): 1, ("web2", "info"): 1}


def test_a_full_queue_rejects():
    tally = Tally()
    for _ in range(tally.batches.maxsize):
        assert tally.submit(batch())
    assert not tally.submit(batch())
    assert tally.rejected == 1
