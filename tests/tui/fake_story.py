"""A believable story: a shop, its metrics, incidents, patches and episodes."""

from __future__ import annotations

import math
import random

from selfheal_engine.model import (
    Alert,
    Candidate,
    Check,
    ControlLimits,
    Diagnosis,
    Episode,
    Frame,
    Incident,
    IncidentState,
    MetricState,
    Occurrence,
    ProcessInfo,
    Proposal,
    Reading,
    Remark,
    RequestRecord,
    ServiceInfo,
    Step,
    Suspect,
    Value,
    Verdict,
)

NOW = 1_760_000_521.0
INTERVAL = 5.0
SAMPLES = 60

CHECKOUT = '''"""Prices and totals of an order."""

from shop.errors import OrderError
from shop.shipping import RATES


def subtotal(order):
    """Sum of the lines, without shipping."""
    return sum(item["price"] * item["count"] for item in order["items"])


def total(order, rates=RATES):
    """Total with shipping for one order."""
    if order["address"] is None:
        raise OrderError("address", "missing")
    zone = rates.zone(order["address"]["zip"])
    shipping = rates.price(zone, weight(order))
    return subtotal(order) + shipping


def weight(order):
    """Kilograms of the whole parcel."""
    return sum(item["kg"] * item["count"] for item in order["items"])
'''

DIFF = '''--- a/shop/checkout.py
+++ b/shop/checkout.py
@@ -12,5 +12,7 @@
 def total(order, rates=RATES):
     """Total with shipping for one order."""
+    if order["address"] is None:
+        raise OrderError("address", "missing")
     zone = rates.zone(order["address"]["zip"])
     shipping = rates.price(zone, weight(order))
     return subtotal(order) + shipping
'''

FLAT = CHECKOUT.replace(
    """    if order["address"] is None:
        raise OrderError("address", "missing")
    zone = rates.zone(order["address"]["zip"])
""",
    """    address = order["address"] or {"zip": ""}
    zone = rates.zone(address["zip"])
""",
)

FLAT_DIFF = '''--- a/shop/checkout.py
+++ b/shop/checkout.py
@@ -12,5 +12,6 @@
 def total(order, rates=RATES):
     """Total with shipping for one order."""
-    zone = rates.zone(order["address"]["zip"])
+    address = order["address"] or {"zip": ""}
+    zone = rates.zone(address["zip"])
     shipping = rates.price(zone, weight(order))
     return subtotal(order) + shipping
'''

LIMITS = {
    "cpu_usage": (9.0, 23.0, 38.0),
    "memory_usage": (179e6, 182e6, 185e6),
    "error_rate": (0.0, 0.4, 2.1),
    "response_time": (40.0, 78.0, 120.0),
    "queue_depth": (0.0, 2.0, 8.0),
    "deadlock_risk": (0.0, 0.0, 0.2),
    "anomaly_score": (0.0, 0.2, 0.6),
}


def metric(name: str, *, failing: bool = False, samples: int = SAMPLES) -> MetricState:
    """A metric that wanders inside its limits, or left them in the last samples."""
    low, center, high = LIMITS[name]
    seeded = random.Random(name)
    wander = [
        center + (high - center) * 0.45 * math.sin(i / 3 + seeded.random()) for i in range(samples)
    ]
    values = [max(0.0, v + (high - low) * 0.08 * seeded.random()) for v in wander]
    if name in ("deadlock_risk",):
        values = [0.0] * samples
    affected = failing and name in ("error_rate", "anomaly_score")
    if affected:
        peak = 41.0 if name == "error_rate" else 0.97
        values[-6:] = [peak * share for share in (0.3, 0.6, 0.9, 0.8, 1.0, 1.0)]
    rule = "5 of 5 samples beyond 3 sigma" if affected else ""
    return MetricState(
        name=name,
        reading=Reading(values[-1]),
        history=tuple(values),
        limits=ControlLimits(low, center, high, 50, "3 of 5 samples beyond 3 sigma", 4.2e7, 3.9),
        beyond_limits=affected,
        rule=rule,
        trend_per_min=0.1e6 if name == "memory_usage" else 0.0,
    )


def candidates() -> tuple[Candidate, ...]:
    return (
        Candidate(
            id="c1",
            strategy="null_check",
            template="raise_domain_error",
            title="answer 422 when an order has no address",
            diff=DIFF,
            files=(("shop/checkout.py", CHECKOUT.encode()),),
            functions=("total",),
            confidence=0.91,
            impact=0.04,
            risk="low",
            explanation="Other handlers answer such orders with OrderError → 422; so does this.",
        ),
        Candidate(
            id="c2",
            strategy="null_check",
            template="default",
            title="fall back to the flat rate",
            diff=FLAT_DIFF,
            files=(("shop/checkout.py", FLAT.encode()),),
            functions=("total",),
            confidence=0.55,
            impact=0.04,
            risk="medium",
            explanation="Guests would pay the flat rate.",
        ),
        Candidate(
            id="c3",
            strategy="error_handling",
            template="skip",
            title="skip shipping when it cannot be priced",
            diff=FLAT_DIFF,
            files=(("shop/checkout.py", FLAT.encode()),),
            functions=("total",),
            confidence=0.22,
            impact=0.04,
            risk="medium",
            explanation="Guests would pay no shipping.",
        ),
    )


def verdicts() -> tuple[Verdict, ...]:
    good = (
        Check("parses", "passed", "compiles on Python 3.11"),
        Check("imports", "passed", "shop.checkout imports"),
        Check(
            "reproducer",
            "passed",
            "before: TypeError in 3 of 3 replays; after: 422 in 3 of 3",
            3,
            0.8,
            ("POST /checkout with the recorded guest order",),
        ),
        Check("tests", "passed", "48 passed before and after", 48, 2.1),
        Check("good_calls", "passed", "200 recorded calls answer the same", 200, 0.4),
        Check("performance", "passed", "+0.4 % (−1.1..+1.9)", 20, 1.2),
        Check("memory", "passed", "no growth over 2,000 calls", 2000, 1.0),
    )
    remark = Remark("untested", "no test covers guests; `t` adds one", 0.2, 14)
    failed = (*good[:2], Check("reproducer", "failed", "after: KeyError in 3 of 3 replays", 3, 0.8))
    return (
        Verdict("c1", good, 94, True, 1, (remark,), 5.5),
        Verdict("c2", good, 61, True, 1, (remark,), 5.2),
        Verdict("c3", failed, None, False, 1, (), 2.0),
    )


def occurrence() -> Occurrence:
    address = Value(
        "dict",
        length=3,
        children=(
            ("id", Value("int", "4711")),
            ("address", Value("NoneType", "None")),
            ("items", Value("list", length=2)),
        ),
    )
    frames = (
        Frame(
            "/srv/venv/lib/python3.11/site-packages/flask/app.py",
            1511,
            "Flask.wsgi_app",
            source_line="response = self.full_dispatch_request()",
        ),
        Frame(
            "/srv/shop/shop/views.py",
            31,
            "checkout",
            source_line="amount = total(order)",
            own=True,
            locals=(("order", address),),
        ),
        Frame(
            "/srv/shop/shop/checkout.py",
            14,
            "total",
            source_line='zone = rates.zone(order["address"]["zip"])',
            own=True,
            column=23,
            end_column=46,
            locals=(("order", address), ("rates", Value("Rates"))),
        ),
    )
    return Occurrence(
        id="o1",
        kind="exception",
        time_s=NOW - 62,
        pid=4212,
        exception="TypeError",
        message="'NoneType' object is not subscriptable",
        frames=frames,
        fingerprint="f1",
        count=41,
        caught_by="flask",
        request=RequestRecord("POST", "/checkout", route="/checkout", status=500),
    )


def incident_proposed() -> Incident:
    diagnosis = Diagnosis(
        bug_type="null_check",
        ranked_types=(("null_check", 0.86), ("error_handling", 0.1)),
        suspects=(Suspect("shop/checkout.py", 14, "total", 0.93, "raises here in 41 of 41"),),
        summary="The address of a guest order is None and total() reads its zip.",
        evidence=(
            "41 of 41 occurrences have order['address'] None",
            "a deploy 6 min ago touched checkout.py",
        ),
        failing_expression='order["address"]',
        none_origin="customers.py:40, which returns None for guests",
    )
    return Incident(
        id="i12",
        number=12,
        state=IncidentState.PROPOSED,
        title="TypeError, checkout.py:14",
        first_seen_s=NOW - 62,
        last_seen_s=NOW - 1,
        severity="critical",
        fingerprint="f1",
        bug_type="null_check",
        count=41,
        occurrence=occurrence(),
        diagnosis=diagnosis,
        proposal=Proposal("i12", candidates(), verdicts(), "high", NOW - 50),
        activity="waiting for you",
    )


def incident_healed() -> Incident:
    return Incident(
        id="i11",
        number=11,
        state=IncidentState.HEALED,
        title="cache without bound, catalog.py:31",
        first_seen_s=NOW - 1900,
        last_seen_s=NOW - 1880,
        ended_s=NOW - 1858,
        count=3,
        applied="c9",
        applied_s=NOW - 1870,
        outcome="healed in 42 s, 0 requests lost",
    )


def incident_dismissed() -> Incident:
    return Incident(
        id="i10",
        number=10,
        state=IncidentState.DISMISSED,
        title="slow upstream, geo.py:17",
        first_seen_s=NOW - 4000,
        last_seen_s=NOW - 3900,
        ended_s=NOW - 3890,
        count=9,
    )


def feed() -> tuple[Alert, ...]:
    return (
        Alert(NOW - 380, "deploy", "info", "deploy seen: checkout.py and 2 more files changed"),
        Alert(
            NOW - 62,
            "occurrence",
            "critical",
            "TypeError: 'NoneType' object is not subscriptable",
            fingerprint="f1",
            place="shop/checkout.py:14 in total",
        ),
        Alert(
            NOW - 58,
            "control_chart",
            "warning",
            "error_rate 41 /min beyond 3σ (5 of 5 samples)",
            ("error_rate",),
        ),
        Alert(
            NOW - 55,
            "forest",
            "warning",
            "unusual together: error_rate, response_time",
            ("error_rate", "response_time"),
        ),
    )


def service() -> ServiceInfo:
    base = {
        "started_s": NOW - 7300,
        "python": "3.11.9",
        "has_probe": True,
        "threads": 5,
        "descriptors": 23,
    }
    return ServiceInfo(
        name="shop",
        project="/srv/shop",
        command="gunicorn -w 2 --threads 4 shop:app",
        processes=(
            ProcessInfo(
                4211,
                1,
                "gunicorn: master [shop:app]",
                role="master",
                cpu_percent=0.2,
                memory_bytes=24_000_000,
                **base,
            ),
            ProcessInfo(
                4212,
                4211,
                "gunicorn: worker [shop:app]",
                role="worker",
                cpu_percent=12,
                memory_bytes=79_000_000,
                **base,
            ),
            ProcessInfo(
                4213,
                4211,
                "gunicorn: worker [shop:app]",
                role="worker",
                cpu_percent=11,
                memory_bytes=79_000_000,
                **base,
            ),
        ),
        framework="gunicorn",
        started_by_us=True,
    )


def episodes() -> list[Episode]:
    first = NOW - 1900
    steps = (
        Step(first, "first_occurrence", "MemoryError in GET /catalog"),
        Step(first + 2, "open", "incident #11"),
        Step(first + 3, "diagnosed", "memory_leak_fix, catalog.py:31"),
        Step(first + 11, "proposed", "3 patches, best safety 88"),
        Step(first + 30, "approved", "by you"),
        Step(first + 30.4, "applied", "live in 2 processes"),
        Step(first + 42, "healed", "0 requests lost"),
    )
    return [
        Episode(
            "e11",
            "shop",
            11,
            "cache without bound, catalog.py:31",
            "f9",
            "memory_leak_fix",
            "healed",
            place="shop/catalog.py:31",
            strategy="memory_leak_fix",
            template="bounded_cache",
            diff=FLAT_DIFF,
            confidence=0.8,
            safety=88,
            risk="low",
            decision="approve",
            first_seen_s=first,
            ended_s=first + 42,
            mttr_s=42.0,
            occurrences=3,
            steps=steps,
        ),
        Episode(
            "e10",
            "shop",
            10,
            "slow upstream, geo.py:17",
            "f8",
            "timeout_guard",
            "dismissed",
            place="shop/geo.py:17",
            reason="load test",
            first_seen_s=NOW - 4000,
            ended_s=NOW - 3890,
            occurrences=9,
            steps=(
                Step(NOW - 4000, "first_occurrence"),
                Step(NOW - 3890, "dismissed", "load test"),
            ),
        ),
        Episode(
            "e9",
            "shop",
            9,
            "KeyError, cart.py:70",
            "f7",
            "null_check",
            "rolled_back",
            place="shop/cart.py:70",
            strategy="null_check",
            template="default",
            diff=FLAT_DIFF,
            first_seen_s=NOW - 90_000,
            ended_s=NOW - 89_940,
            occurrences=17,
            steps=(
                Step(NOW - 90_000, "first_occurrence"),
                Step(NOW - 89_940, "rolled_back", "p95 doubled on worker 2"),
            ),
        ),
        Episode(
            "e8",
            "shop",
            8,
            "file never closed, export.py:12",
            "f6",
            "resource_cleanup",
            "healed",
            place="shop/export.py:12",
            strategy="resource_cleanup",
            template="with_block",
            diff=FLAT_DIFF,
            first_seen_s=NOW - 180_000,
            ended_s=NOW - 179_910,
            mttr_s=90.0,
            occurrences=2,
            steps=(Step(NOW - 180_000, "first_occurrence"), Step(NOW - 179_910, "healed")),
        ),
    ]
