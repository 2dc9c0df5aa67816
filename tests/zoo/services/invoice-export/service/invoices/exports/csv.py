"""Comma separated, for spreadsheets."""


def render(rows, currency):
    lines = ["name,cents,currency"]
    lines += [f"{row['name']},{row['cents']},{currency}" for row in rows]
    return "\n".join(lines) + "\n"
