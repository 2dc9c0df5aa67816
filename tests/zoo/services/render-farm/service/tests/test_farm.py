import queue

import pytest

from farm import Farm, FarmBusy


def test_a_preview():
    assert Farm(workers=1).render("a", 3) == "preview of a, 3 pages"


def test_too_many_at_once():
    farm = Farm(workers=0)
    farm.jobs = queue.Queue(1)
    farm.jobs.put("somebody else's")
    with pytest.raises(FarmBusy):
        farm.render("a", 1)
