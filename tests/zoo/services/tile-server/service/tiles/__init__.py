"""Map tiles from files."""
