import asyncio

from flags.rules import Rules, RuleStore


def test_a_cold_tenant_gets_its_own_rules_and_is_warm_then():
    async def run():
        store = RuleStore({"new": {"export": True, "search": False}})
        rules = Rules(store)
        first = await rules.of("new")
        again = await rules.of("new")
        return first, again, store.calls

    first, again, calls = asyncio.run(run())
    assert first == again == {"search": False, "export": True, "beta": False}
    assert calls == 1
