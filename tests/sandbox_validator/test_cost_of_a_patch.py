"""What good calls cost with a patch: bytecodes, CPU time, waiting, and what they leave behind."""

from __future__ import annotations

from dataclasses import replace

from tests.sandbox_validator.conftest import FIX, ORDERS, Shop, check


def test_a_patch_that_keeps_something_for_every_new_key_is_told(shop: Shop) -> None:
    hoard = ORDERS.replace(*FIX).replace(
        "def label(order):\n",
        "_known = {}\n\n\ndef label(order):\n    _known[str(order)] = [order]\n",
    )
    verdict = shop.judge(shop.candidate(hoard, name="hoard"))[0]
    assert check(verdict, "memory").status == "failed"


def test_a_bounded_cache_is_no_leak(shop: Shop) -> None:
    cached = ORDERS.replace(*FIX).replace(
        "def label(order):\n",
        "@functools.lru_cache(512)\ndef plain(text):\n    return text * 3\n\n\n"
        "def label(order):\n    plain(str(order))\n",
    )
    verdict = shop.judge(shop.candidate("import functools\n\n\n" + cached, name="cache"))[0]
    assert check(verdict, "memory").status == "passed"


def test_a_patch_that_runs_much_more_code_is_told_and_scored_lower(shop: Shop) -> None:
    idle = "    for _ in range(200):\n        order['address']\n"
    slow = ORDERS.replace(*FIX).replace("def label(order):\n", "def label(order):\n" + idle)
    slow_verdict, good = shop.judge(
        shop.candidate(slow, name="slow"), replace(shop.fixed(), id="good")
    )
    assert check(slow_verdict, "performance").status == "failed"
    assert check(good, "performance").status == "passed"
    assert (slow_verdict.safety or 0) < (good.safety or 0)


def test_slowness_that_no_bytecode_shows_is_found_by_cpu_time(shop: Shop) -> None:
    idle = "    sorted(range(20000))\n"
    slow = ORDERS.replace(*FIX).replace("def label(order):\n", "def label(order):\n" + idle)
    found = check(shop.judge(shop.candidate(slow, name="slow"))[0], "performance")
    assert found.status == "failed"
    assert "CPU time" in found.text


def test_a_call_that_waits_longer_is_told(shop: Shop) -> None:
    idle = "    time.sleep(0.02)\n"
    slow = "import time\n\n" + ORDERS.replace(*FIX).replace(
        "def label(order):\n", "def label(order):\n" + idle
    )
    found = check(
        shop.judge(shop.candidate("import time\n\n" + slow, name="waits"))[0], "performance"
    )
    assert found.status == "failed"
    assert "longer" in found.text


def test_a_patch_that_keeps_what_it_is_given_is_told(shop: Shop) -> None:
    hoard = ORDERS.replace(*FIX).replace(
        "def label(order):\n", "_seen = []\n\n\ndef label(order):\n    _seen.append(order)\n"
    )
    verdict = shop.judge(shop.candidate(hoard))[0]
    assert check(verdict, "memory").status == "failed"


def test_what_a_process_has_few_of_is_told_with_the_line_that_keeps_it(shop: Shop) -> None:
    kinds = {
        "descriptors": "os.open(__file__, os.O_RDONLY)",
        "threads": "threading.Thread(target=_NEVER.wait, daemon=True).start()",
        "children": "os.posix_spawn('/bin/true', ['true'], {})",
    }
    top = "import os\nimport threading\n\n_NEVER = threading.Event()\n\n\n"
    candidates = []
    for name, leak in kinds.items():
        # more good calls than one may hold of them: the later ones fail
        text = ORDERS.replace(*FIX).replace(
            "def label(order):\n", f"def label(order):\n    {leak}\n"
        )
        candidates.append(shop.candidate(top + text, name=name))
    for name, verdict in zip(kinds, shop.judge(*candidates), strict=True):
        found = check(verdict, "memory")
        assert found.status == "failed", name
        assert name in found.text
        line = 1 + (top + ORDERS)[: (top + ORDERS).index("    street")].count("\n")
        assert found.text.endswith(f"kept at orders.py:{line}")


def test_memory_that_no_allocator_has_handed_out_is_told(shop: Shop) -> None:
    leak = "    _AREAS.append(mmap.mmap(-1, 1 << 16))\n    _AREAS[-1].write(b'x' * (1 << 16))\n"
    text = "import mmap\n\n_AREAS = []\n\n\n" + ORDERS.replace(*FIX)
    text = text.replace("def label(order):\n", f"def label(order):\n{leak}")
    found = check(shop.judge(shop.candidate(text, name="mapped"))[0], "memory")
    assert found.status == "failed"
    assert "resident bytes" in found.text
