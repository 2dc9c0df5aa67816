"""The shop's customers: `python -m selfheal_tui.demo.traffic --story NAME --port N ...`.

Every story is the same believable mix, searches, product pages, baskets, orders, quotes and
stock feeds; the story says what arrives after `--bug-after` seconds. The traffic also plays
the carrier's rate service on `--upstream-port`, which is what stalls in the story "delivery".
"""

from __future__ import annotations

import random
import sys

from selfheal_tui.demo.driver import Moment, Options, Plan, Request, options, play
from selfheal_tui.demo.upstream import Upstream

SKUS = tuple(
    f"{group}{number:02}" for group in ("GR1", "BL2", "CO3", "PO4") for number in range(1, 7)
)
CUSTOMERS = tuple(f"c{number:03}" for number in range(1, 41))
COUNTRIES = ("DE", "DE", "DE", "AT", "NL", "FR", "IT", "SE")
WORDS = ("green tea", "coffee", "pots", "assam", "sencha", "classic", "black")
STORIES = ("checkout", "suppliers", "related", "delivery", "healthy")

MIX = (
    ("search", 3.0),
    ("product", 5.0),
    ("related", 2.0),
    ("basket", 2.0),
    ("checkout", 2.5),
    ("quote", 2.5),
    ("feed", 0.4),
    ("customer", 1.0),
)
"""What customers do, by weight."""


def plan_of(story: str) -> Plan:
    """The plan of a story. The bug's kind of request comes about twice a second."""

    def plan(moment: Moment) -> Request:
        rng = moment.rng
        if moment.bug_on and rng.random() < 0.1:
            if story == "checkout":
                return _checkout(
                    rng, {"guest": {"name": "Kim", "email": "kim@example.org"}}, bad=True
                )
            if story == "suppliers":
                return _feed(rng, bad=True)
        if story == "related" and moment.bug_on and rng.random() < 0.75:
            return _related(rng, f"v{moment.number:07}", bad=True)
        if story == "delivery" and rng.random() < 0.15:
            return _quote(rng, bad=moment.bug_on)
        return _usual(moment)

    return plan


def _usual(moment: Moment) -> Request:
    rng = moment.rng
    kind = rng.choices([name for name, _ in MIX], [weight for _, weight in MIX])[0]
    if kind == "search":
        return Request("GET", f"/products?q={rng.choice(WORDS).replace(' ', '%20')}")
    if kind == "product":
        return Request("GET", f"/products/{rng.choice(SKUS)}")
    if kind == "related":
        return _related(rng, f"member{rng.randrange(12)}")
    if kind == "basket":
        body = {"customer": rng.choice(CUSTOMERS), "items": _items(rng)}
        return Request("POST", "/basket/price", body)
    if kind == "checkout":
        return _checkout(rng, {"customer": rng.choice(CUSTOMERS)})
    if kind == "quote":
        return _quote(rng)
    if kind == "feed":
        return _feed(rng)
    # now and then an old link: a 404 is nothing unusual for a shop
    known = rng.random() < 0.9
    return Request("GET", f"/customers/{rng.choice(CUSTOMERS) if known else 'c999'}")


def _items(rng: random.Random) -> list[dict[str, object]]:
    return [
        {"sku": sku, "quantity": rng.randint(1, 3)} for sku in rng.sample(SKUS, rng.randint(1, 3))
    ]


def _checkout(rng: random.Random, who: dict[str, object], *, bad: bool = False) -> Request:
    return Request("POST", "/checkout", {**who, "items": _items(rng)}, bad=bad)


def _related(rng: random.Random, visitor: str, *, bad: bool = False) -> Request:
    return Request("GET", f"/products/{rng.choice(SKUS)}/related?visitor={visitor}", bad=bad)


def _quote(rng: random.Random, *, bad: bool = False) -> Request:
    place = f"country={rng.choice(COUNTRIES)}&weight={rng.randrange(100, 9000, 50)}"
    return Request("GET", f"/delivery/quote?{place}", bad=bad)


def _feed(rng: random.Random, *, bad: bool = False) -> Request:
    records = [
        {
            "sku": sku,
            "on_hand": rng.choice([f"{rng.randrange(3000, 90000)}", f"{rng.randrange(300, 900)}c"]),
        }
        for sku in rng.sample(SKUS, 8)
    ]
    if bad:
        records[rng.randrange(2, 6)]["on_hand"] = "n/a"
    return Request(
        "POST",
        f"/suppliers/{rng.choice(['nippon', 'hanse', 'alto'])}/stock",
        {"records": records},
        bad=bad,
    )


def carrier(chosen: Options) -> Upstream:
    """The carrier's rate service; it stalls in the story "delivery" alone."""
    stalls = chosen.story == "delivery"
    return Upstream(
        port=chosen.upstream_port,
        answer=lambda path: {"cents": 290 + 10 * (len(path) % 40)},
        seed=chosen.seed,
        stall_after_s=chosen.bug_after_s if stalls else float("inf"),
        stall_share=0.1,
        stall_s=20.0,
    )


def main() -> None:
    chosen = options(sys.argv[1:])
    if chosen.upstream_port:
        carrier(chosen).start()
    play(plan_of(chosen.story or "healthy"), chosen)


if __name__ == "__main__":
    main()
