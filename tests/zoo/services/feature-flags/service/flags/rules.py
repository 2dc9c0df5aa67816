"""Rules by tenant: a few are warm from the start, others are fetched when first asked for."""

import asyncio

DEFAULTS = {"search": True, "export": False, "beta": False}


class RuleStore:
    """Where the rules live; a call takes its time."""

    def __init__(self, overrides=None):
        self.overrides = overrides or {}
        self.calls = 0

    async def fetch(self, tenant):
        self.calls += 1
        await asyncio.sleep(0.005)
        return {**DEFAULTS, **self.overrides.get(tenant, {})}


class Rules:
    def __init__(self, store):
        self._store = store
        self._cached = {}

    async def warm_up(self, tenants):
        for tenant in tenants:
            self._cached[tenant] = await self._store.fetch(tenant)

    async def refresh(self, tenant):
        """Fetches a tenant's rules anew and returns them."""
        rules = await self._store.fetch(tenant)
        if len(self._cached) < 1000:
            self._cached[tenant] = rules
        return rules

    async def of(self, tenant):
        rules = self._cached.get(tenant)
        if rules is None:
            rules = self.refresh(tenant)
        return {name: bool(rules[name]) for name in DEFAULTS}
