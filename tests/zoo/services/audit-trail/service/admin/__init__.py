"""Settings, and who changed them."""
