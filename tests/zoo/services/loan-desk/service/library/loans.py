"""Loans and when they are due. Due dates are ISO 8601 with the branch's offset."""

from datetime import datetime, timedelta, timezone

BRANCH = timezone(timedelta(hours=2))
MOST = 500


class NoSuchLoan(LookupError):
    pass


class Loans:
    def __init__(self):
        self._due = {}
        self._next = 1

    def lend(self, book, days):
        """The number of the new loan."""
        number = self._next
        self._next += 1
        due = datetime.now(timezone.utc) + timedelta(days=days)
        self._due[number] = (book, due.astimezone(BRANCH).isoformat())
        self._due.pop(number - MOST, None)
        return number

    def put(self, book, due):
        """Takes over a loan of another branch, due date as it stands there."""
        number = self._next
        self._next += 1
        self._due[number] = (book, due)
        return number

    def show(self, number):
        if number not in self._due:
            raise NoSuchLoan(number)
        book, due = self._due[number]
        left = datetime.fromisoformat(due) - datetime.now(timezone.utc)
        return {"book": book, "due": due, "days_left": left.days}

    def is_overdue(self, due):
        return datetime.fromisoformat(due) < datetime.now()

    def overdue_loans(self):
        """Numbers of the loans that are overdue."""
        return [number for number, (_, due) in list(self._due.items()) if self.is_overdue(due)]
