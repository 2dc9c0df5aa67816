"""Converts amounts at the upstream's rates."""
