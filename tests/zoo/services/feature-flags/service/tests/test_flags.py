import asyncio

from flags.rules import Rules, RuleStore
from flags.server import answer


def test_a_warm_tenant():
    async def run():
        store = RuleStore({"acme": {"beta": True}})
        rules = Rules(store)
        await rules.warm_up(["acme"])
        return await answer(rules, "/flags/acme"), store.calls

    (status, body), calls = asyncio.run(run())
    assert status == 200
    assert body["flags"] == {"search": True, "export": False, "beta": True}
    assert calls == 1


def test_rules_can_be_refreshed():
    assert asyncio.run(Rules(RuleStore()).refresh("x"))["search"] is True


def test_no_such_page():
    assert asyncio.run(answer(Rules(RuleStore()), "/nothing"))[0] == 404
