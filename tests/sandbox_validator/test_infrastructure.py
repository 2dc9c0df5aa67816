"""When the sandbox itself fails, nothing is said about the patch: in both tiers, whatever fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.model import Verdict
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import SandboxValidator, bubblewrap, isolation
from selfheal_engine.sandbox_validator.inside import landlock
from tests.sandbox_validator.conftest import FIX, ORDERS, PYTEST, Shop, none_address, write_shop

TIERS = [
    1,
    pytest.param(
        2, marks=pytest.mark.skipif(landlock.version() < landlock.OLDEST, reason="no Landlock 6")
    ),
]
FAULTS = {
    "full disk": "open(tempfile.gettempdir() + '/big', 'wb').write(b'x' * (48 << 20))",
    "memory": "bytearray(b'x') * (1 << 30)",
    "threads": "for _ in range(400):\n"
    "        threading.Thread(target=threading.Event().wait, daemon=True).start()",
    "descriptors": "_open = [open(__file__) for _ in range(5000)]",
}
"""What `total` does with the patch: only the tests call it, so the replays pass."""


def forget_levels() -> None:
    bubblewrap.find.cache_clear()
    isolation.level.cache_clear()


@pytest.fixture(scope="module", params=TIERS)
def small_shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """The shop in a sandbox with little of everything, in one tier."""
    base = tmp_path_factory.mktemp("small")
    root = base / "service"
    write_shop(root)
    settings = Settings(state_dir=str(base / "state"), sandbox_memory_mb=512, sandbox_disk_mb=24)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == 2:
            patch.setenv(isolation.FORCED, "2")
        forget_levels()
        validator = SandboxValidator(Project(root, sys.executable, PYTEST), settings)
        assert validator.tier == request.param
        diagnosis, occurrence = none_address(root)
        validator.baseline(diagnosis, occurrence)
        yield Shop(root, validator, diagnosis, occurrence)
        validator.close()
    forget_levels()


@pytest.fixture(scope="module")
def verdicts(small_shop: Shop) -> dict[str, Verdict]:
    """One patch for each way to run into the sandbox's limits, and a good one beside them."""
    texts = {
        name: "import tempfile\nimport threading\n\n\n"
        + ORDERS.replace(*FIX).replace("    result = 0\n", f"    result = 0\n    {fault}\n")
        for name, fault in FAULTS.items()
    }
    texts["good"] = ORDERS.replace(*FIX)
    candidates = [small_shop.candidate(text, name=name) for name, text in texts.items()]
    return {verdict.candidate: verdict for verdict in small_shop.judge(*candidates)}


@pytest.mark.parametrize("fault", FAULTS)
def test_limits_that_are_reached_are_no_failed_tests(
    verdicts: dict[str, Verdict], fault: str
) -> None:
    verdict = verdicts[fault]
    assert verdict.infrastructure, verdict.check("tests")
    assert verdict.safety is None
    assert not verdict.plausible
    assert not [check for check in verdict.checks if check.status == "failed"]


def test_a_good_patch_beside_them_passes(verdicts: dict[str, Verdict]) -> None:
    assert verdicts["good"].plausible, verdicts["good"].checks
    assert verdicts["good"].infrastructure == ""


@pytest.mark.parametrize("what", ["no bwrap", "a project that is gone"])
def test_a_wall_that_cannot_be_built_says_nothing_of_the_patch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.delenv(isolation.FORCED, raising=False)
    forget_levels()
    root = tmp_path / "service"
    write_shop(root)
    settings = Settings(state_dir=str(tmp_path / "state"))
    validator = SandboxValidator(Project(root, sys.executable, ()), settings)
    try:
        diagnosis, occurrence = none_address(root)
        validator.baseline(diagnosis, occurrence)
        shop = Shop(root, validator, diagnosis, occurrence)
        candidate = shop.fixed()
        if validator._workshop.warm is not None:
            validator._workshop.warm.close()  # its wall stands already
        if what == "no bwrap":
            assert validator.tier == 1
            monkeypatch.setattr(bubblewrap, "find", lambda: "/nowhere/bwrap")
        else:
            root.rename(tmp_path / "elsewhere")
        verdict = shop.judge(candidate)[0]
    finally:
        validator.close()
        monkeypatch.undo()
        forget_levels()
    assert verdict.infrastructure, verdict.check("tests")
    assert verdict.safety is None
    assert not verdict.plausible
    assert not [check for check in verdict.checks if check.status == "failed"]
