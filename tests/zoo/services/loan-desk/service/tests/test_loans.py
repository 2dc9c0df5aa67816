import pytest

from library.loans import Loans, NoSuchLoan


def test_a_loan_has_its_days():
    loans = Loans()
    assert loans.show(loans.lend("Emma", 7))["days_left"] == 6


def test_numbers_go_up():
    loans = Loans()
    assert [loans.lend("x", 1) for _ in range(3)] == [1, 2, 3]


def test_unknown_loans():
    with pytest.raises(NoSuchLoan):
        Loans().show(9)


def test_nothing_is_overdue_at_first():
    assert Loans().overdue_loans() == []
