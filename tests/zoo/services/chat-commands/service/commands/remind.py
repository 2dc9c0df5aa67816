"""Reminders: `!remind 20m tea`."""

from bot import Usage

SECONDS = {"s": 1, "m": 60, "h": 3600}
LONGEST_S = 48 * 3600


def seconds_of(text):
    """20m -> 1200."""
    unit = SECONDS.get(text[-1:])
    if unit is None or not text[:-1].isdigit()
        raise Usage("!remind 20m what")
    return int(text[:-1]) * unit


def run(words):
    if len(words) < 2:
        raise Usage("!remind 20m what")
    after_s = seconds_of(words[0])
    if after_s > LONGEST_S:
        return "that is too long"
    return f"in {after_s} s: {' '.join(words[1:])}"
