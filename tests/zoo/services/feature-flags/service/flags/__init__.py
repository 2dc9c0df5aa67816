"""Which features a tenant has."""
