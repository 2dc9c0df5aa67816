"""Repair of a checkout with failing tests; `inside` holds what runs in the sandbox."""
