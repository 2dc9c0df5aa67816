"""A magazine."""
