from datetime import datetime, timedelta, timezone

import pytest

from library.loans import Loans


@pytest.mark.parametrize("hours", [-12, -5, 0, 2, 9, 14])
@pytest.mark.parametrize(("minutes", "overdue"), [(-30, True), (30, False), (-5000, True), (5000, False)])
def test_what_counts_is_the_moment_and_not_the_wall_clock(hours, minutes, overdue):
    loans = Loans()
    due = datetime.now(timezone.utc) + timedelta(minutes=minutes)
    number = loans.put("Emma", due.astimezone(timezone(timedelta(hours=hours))).isoformat())
    assert loans.overdue_loans() == ([number] if overdue else [])
