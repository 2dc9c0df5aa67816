from library.loans import Loans


def test_overdue_loans_can_be_asked_for():
    loans = Loans()
    loans.lend("Emma", 7)
    loans.overdue_loans()
