"""The tickets and the people who work on them."""

AGENTS = {
    "an": {"name": "Anna Nowak", "team": "billing"},
    "bo": {"name": "Boris Lind", "team": "network"},
    "cy": {"name": "Cyrus Hart", "team": "billing"},
}

TICKETS = [
    {"id": 101, "title": "Invoice twice", "state": "open", "assignee": "an", "tags": ["money"]},
    {"id": 102, "title": "No connection", "state": "open", "assignee": "bo", "tags": []},
    {"id": 103, "title": "Wrong name on the bill", "state": "closed", "assignee": "cy", "tags": []},
    {"id": 104, "title": "Slow since Monday", "state": "waiting", "assignee": "bo", "tags": ["dsl"]},
    {"id": 105, "title": "(from the mailbox) hello?", "state": "new", "assignee": None, "tags": []},
    {"id": 106, "title": "Moving house", "state": "new", "assignee": "an", "tags": ["address"]},
]


def by_state(state):
    return [ticket for ticket in TICKETS if state in ("", ticket["state"])]


def by_id(number):
    return next((ticket for ticket in TICKETS if ticket["id"] == number), None)


def agent(key):
    return AGENTS.get(key)
