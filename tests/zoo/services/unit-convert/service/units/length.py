from units.base import proportional

UNITS = {"m": proportional(1), "km": proportional(1000), "ft": proportional(0.3048)}
