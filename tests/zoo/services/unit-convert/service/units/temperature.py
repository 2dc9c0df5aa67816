"""Temperatures; the base is kelvin."""

from units.base import proportional, shiftd

UNITS = {
    "K": proportional(1),
    "C": shifted(1, 273.15),
    "F": shifted(5 / 9, 273.15 - 32 * 5 / 9),
}
