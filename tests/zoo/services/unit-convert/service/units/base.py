"""How units relate to the base unit of their family."""

from collections import namedtuple

Unit = namedtuple("Unit", "to_base from_base")


def proportional(factor):
    """A unit that is `factor` base units."""
    return Unit(lambda value: value * factor, lambda value: value / factor)


def shifted(factor, offset):
    """A unit whose zero lies elsewhere: base = value * factor + offset."""
    return Unit(lambda value: value * factor + offset, lambda value: (value - offset) / factor)
