"""What the sandbox costs and holds: spawn time, warm checks, bombs, forgeries.

    python tests/benchmarks/sandbox.py [--bombs N] [--json FILE]

Prints one line for each figure with its budget. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from selfheal_engine.config import Settings
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import SandboxValidator
from selfheal_engine.sandbox_validator.jobs import Steps, Workshop
from selfheal_engine.sandbox_validator.limits import Limits, tree
from selfheal_engine.sandbox_validator.wall import level, run_walled
from selfheal_engine.sandbox_validator.warm import WarmServer
from tests.sandbox_validator.conftest import PYTEST, Shop, none_address, write_shop
from tests.sandbox_validator.test_forgeries import FORGERIES, HONEST
from tests.sandbox_validator.test_wall import BOMBS, OWN_COPIES


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def spawns(root: Path, runs: int) -> list[float]:
    """Seconds of `true` behind the wall, in the project of `root`."""
    seconds = []
    for _ in range(runs):
        begun = time.monotonic()
        run = run_walled(["/bin/true"], project=root)
        assert run.returncode == 0, run
        seconds.append(time.monotonic() - begun)
    return seconds


def large_tree(root: Path, files: int) -> None:
    for number in range(files):
        folder = root / f"d{number // 500}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}.txt").write_text("x")


def warm_checks(project: Project, runs: int) -> list[float]:
    """Seconds of one warm job that imports a patched module."""
    workshop = Workshop(project, Limits())
    workshop.warm = WarmServer(project, ("json", "logging"), Limits(), 2)
    assert workshop.warm.usable()
    seconds = []
    for _ in range(runs):
        begun = time.monotonic()
        report = workshop.replay(Steps(modules=("orders",)), {"orders.py": b"X = 1\n"})
        assert report.outcome("imports")["ended"] == "returned", report
        seconds.append(time.monotonic() - begun)
    workshop.warm.close()
    return seconds


def left() -> dict[str, set[str]]:
    """What a run could leave: processes of ours, mounts, folders, control groups."""
    groups = (str(path) for path in Path("/sys/fs/cgroup").glob("**/*/") if path.is_dir())
    return {
        "processes": set(map(str, tree(os.getpid()))),
        "mounts": set(Path("/proc/self/mountinfo").read_text().splitlines()),
        "folders": {name for name in os.listdir(tempfile.gettempdir()) if OWN_COPIES in name},
        "control groups": set(groups),
    }


def bombs(root: Path, runs: int, tier: int) -> dict[str, int]:
    """How often a hostile run left something behind one second later, by kind."""
    found = dict.fromkeys(left(), 0)
    for number in range(runs):
        name = list(BOMBS)[number % len(BOMBS)]
        before = left()
        run_walled(
            [sys.executable, "-I", "-S", "-c", BOMBS[name]],
            project=root,
            limits=Limits(wall_s=0.3, processes=40),
            tier=tier,
        )
        end = time.monotonic() + 1.0
        after = left()
        while any(after[kind] - before[kind] for kind in found) and time.monotonic() < end:
            time.sleep(0.01)
            after = left()
        for kind in found:
            found[kind] += bool(after[kind] - before[kind])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bombs", type=int, default=200)
    parser.add_argument("--json", help="write the figures here")
    given = parser.parse_args()
    figures: dict[str, object] = {"tier": level().tier}
    with tempfile.TemporaryDirectory(prefix="sandbox-figures-") as folder:
        base = Path(folder)
        root = base / "service"
        write_shop(root)
        project = Project(root, sys.executable, PYTEST)

        cold = spawns(root, 40)
        figures["spawn_ms_p50"] = 1000 * statistics.median(cold)
        figures["spawn_ms_p90"] = 1000 * quantile(cold, 0.9)
        large_tree(base / "large", 50_000)
        figures["spawn_ms_50000_files"] = 1000 * statistics.median(spawns(base / "large", 10))
        warm = warm_checks(project, 40)
        figures["warm_check_ms_p50"] = 1000 * statistics.median(warm)
        figures["warm_check_ms_p90"] = 1000 * quantile(warm, 0.9)
        for tier in (1, 2) if level().tier == 1 else (level().tier,):
            for kind, count in bombs(root, given.bombs, tier).items() if given.bombs else ():
                figures[f"{kind}_left_by_{given.bombs}_bombs_tier_{tier}"] = count

        validator = SandboxValidator(project, Settings(state_dir=str(base / "state")))
        diagnosis, occurrence = none_address(root)
        begun = time.monotonic()
        validator.baseline(diagnosis, occurrence)
        figures["baseline_s"] = time.monotonic() - begun
        shop = Shop(root, validator, diagnosis, occurrence)
        false = shop.judge(*[shop.candidate(t, name=n) for n, t in FORGERIES.items()])
        honest = shop.judge(*[shop.candidate(t, name=n) for n, t in HONEST.items()])
        validator.close()
        figures["forgeries"] = len(false)
        figures["forgeries_accepted"] = sum(verdict.plausible for verdict in false)
        figures["honest"] = len(honest)
        figures["honest_accepted"] = sum(verdict.plausible for verdict in honest)
    for name, value in figures.items():
        print(f"{name:40} {value:.1f}" if isinstance(value, float) else f"{name:40} {value}")
    if given.json:
        Path(given.json).write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
