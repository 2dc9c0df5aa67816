import asyncio

from flags.rules import Rules, RuleStore


def test_a_cold_tenant_raises_nothing():
    asyncio.run(Rules(RuleStore()).of("new"))
