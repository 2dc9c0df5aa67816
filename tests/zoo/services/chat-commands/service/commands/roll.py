"""Dice."""

import random

from bot import Usage


def run(words):
    try:
        count, sides = (int(part) for part in words[0].split("d"))
    except (IndexError, ValueError):
        raise Usage("!roll 2d6") from None
    return str(sum(random.randint(1, sides) for _ in range(count)))
