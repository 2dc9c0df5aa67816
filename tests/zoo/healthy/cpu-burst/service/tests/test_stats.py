import stats


def test_sums():
    stats.values.clear()
    stats.values.extend([1, 5])
    stats.sum_up(0)
    stats.sum_up(0.01)
    assert stats.summary == {"sum": 6, "spread": 4}
