"""Families of units, one module each, with UNITS."""
