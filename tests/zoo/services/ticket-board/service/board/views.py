"""What the board answers."""

from board import store


def ticket_row(ticket):
    """One row of a list, ready for JSON."""
    owner = store.agent(ticket["assignee"])
    return {
        "id": ticket["id"],
        "title": ticket["title"],
        "owner": owner["name"],
        "tags": ", ".join(ticket["tags"]),
    }


def list_tickets(query):
    state = query.get("state", [""])[0]
    rows = [ticket_row(ticket) for ticket in store.by_state(state)]
    return 200, {"tickets": rows, "count": len(rows)}


def show_ticket(number):
    ticket = store.by_id(number)
    if ticket is None:
        return 404, {"error": f"no ticket {number}"}
    owner = store.agent(ticket["assignee"])
    body = dict(ticket)
    body["owner"] = owner["name"] if owner else None
    body["team"] = owner["team"] if owner else None
    return 200, body
