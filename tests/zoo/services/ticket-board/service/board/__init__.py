"""A board of support tickets."""
