"""RSS in, JSON out."""
