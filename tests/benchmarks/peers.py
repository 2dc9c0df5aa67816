"""What other pip-installable repair tools do on the same zoo.

    python -m tests.benchmarks.peers [--tool NAME ...] [--case NAME ...]

Each tool gets more than ours: it is told the file with the bug, and a script or a test that shows
the bug (the zoo's symptom test). It runs as its own documentation says, in a throwaway virtual
environment, on a copy of the service; what it leaves in the tree is judged by the hidden tests.
Tools that patch the running process instead of the file are judged with the hidden tests run
under them. fixkit is not among them: it repairs subjects of the Tests4Py benchmark, not folders.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from selfheal_tui.demo.cases import Case, all_cases
from tests.benchmarks._session import save
from tests.zoo.judge import copy_of, judge_tree

SEARCH_S = "45"
"""Of that, what a tool may search, where it can be told: it must not be ended in the middle."""
MOST_S = 60.0
"""Wall seconds that a tool gets for one service."""

REPRO = '''\
"""Shows the bug: calls what the failing test calls, without a test runner in between."""
import inspect, pathlib, sys, tempfile
sys.path.insert(0, {tree!r})
sys.path.insert(0, {tree!r} + "/visible")
import pytest
import test_symptom

def main():
    for name, function in vars(test_symptom).items():
        if name.startswith("test_"):
            folder = pathlib.Path(tempfile.mkdtemp())
            values = {{"tmp_path": folder, "monkeypatch": pytest.MonkeyPatch()}}
            function(**{{key: values[key] for key in inspect.signature(function).parameters}})

if __name__ == "__main__":
    main()
'''


@dataclass(frozen=True, slots=True)
class Tool:
    """One peer: what pip installs, and the commands that repair."""

    name: str
    packages: tuple[str, ...]
    commands: Callable[[Path, Path, Case], list[list[str]]]
    """(folder of the environment's programs, tree, case) -> commands, run in the tree."""
    live: bool = False
    """Patches the process, not the file."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one tool did to one service."""

    tool: str
    case: str
    label: str
    """correct, masking, wrong, or nothing when the tree is as it was."""
    seconds: float


def _autofixai(programs: Path, tree: Path, case: Case) -> list[list[str]]:
    tests = f"{programs}/python -B -m pytest -q -c {tree}/pytest.ini --rootdir {tree} {tree}/tests"
    command = f"env PYTHONPATH={tree} {tests} {tree}/visible"
    return [
        [
            f"{programs}/autofix",
            case.truth.file,
            "--write",
            "--search-time",
            SEARCH_S,
            "--test-cmd",
            command,
        ]
    ]


def _autofix_engine(programs: Path, tree: Path, case: Case) -> list[list[str]]:
    flags = ["--batch", "--auto-fix", "--no-install", "--quiet"]
    return [
        [f"{programs}/autofix", case.truth.file, *flags],
        [f"{programs}/autofix", "repro.py", *flags],
    ]


def _errorai(programs: Path, tree: Path, case: Case) -> list[list[str]]:
    return [
        [f"{programs}/errorai", "check", case.truth.file],
        [f"{programs}/errorai", "run", "repro.py"],
    ]


def _codesuture(programs: Path, tree: Path, case: Case) -> list[list[str]]:
    return [[f"{programs}/codesuture", "run", "repro.py", "--silent"]]


TOOLS = (
    Tool("codesuture", ("codesuture",), _codesuture, live=True),
    Tool("autofixai", ("autofixai",), _autofixai),
    Tool("autofix-python-engine", ("autofix-python-engine",), _autofix_engine),
    Tool("errorai", ("ErrorAI",), _errorai),
)
SERVICE_PACKAGES = ("flask", "gunicorn", "pytest")


def environment_of(tool: Tool, folder: Path) -> Path:
    """A virtual environment with the tool and what the services need; its folder of programs."""
    place = folder / tool.name
    programs = place / "bin"
    if not (place / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        pip = [str(programs / "python"), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, *tool.packages, *SERVICE_PACKAGES], check=True)
        (place / "ready").touch()
    return programs


def try_tool(tool: Tool, programs: Path, case: Case) -> Row:
    """Let the tool repair a copy of the service, and judge what it left."""
    began = time.monotonic()
    with copy_of(case) as tree:
        shutil.copytree(case.folder / "hidden", tree / "visible")
        (tree / "visible" / "test_behaviour.py").unlink()
        (tree / "repro.py").write_text(REPRO.format(tree=str(tree)), encoding="utf-8")
        before = _sources(tree)
        for command in tool.commands(programs, tree, case):
            _run(command, tree)
        seconds = round(time.monotonic() - began, 1)
        if tool.live:
            label = _judge_live(tool, programs, case, tree)
        elif _sources(tree) == before:
            label = "nothing"
        else:
            for extra in ("visible", "repro.py"):
                path = tree / extra
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            label = judge_tree(case, tree, str(programs / "python")).label
    return Row(tool.name, case.name, label, seconds)


def _judge_live(tool: Tool, programs: Path, case: Case, tree: Path) -> str:
    """The hidden tests under the tool, each file of them in a run of its own."""
    shutil.copytree(case.folder / "hidden", tree / "hidden_tests")
    passed = {}
    for name in ("tests", "hidden_tests/test_symptom.py", "hidden_tests/test_behaviour.py"):
        flags = ["-q", "-c", "pytest.ini", "-p", "no:cacheprovider", name]
        script = tree / "judged.py"
        script.write_text(
            f"import sys, os, pytest\nsys.path.insert(0, {str(tree)!r})\n"
            f"code = pytest.main({flags!r})\nopen('code', 'w').write(str(int(code)))\n",
            encoding="utf-8",
        )
        (tree / "code").unlink(missing_ok=True)
        _run([f"{programs}/{tool.name}", "run", "judged.py", "--silent"], tree)
        passed[name] = (tree / "code").exists() and (tree / "code").read_text() == "0"
    own, symptom, behaviour = passed.values()
    if own and symptom:
        return "correct" if behaviour else "masking"
    return "nothing" if own else "wrong"


def _sources(tree: Path) -> dict[str, bytes]:
    """The service's own files: what the tools were given beside them does not count."""
    return {
        str(file.relative_to(tree)): file.read_bytes()
        for file in sorted(tree.rglob("*.py"))
        if file.name != "repro.py" and "visible" not in file.parts
    }


def _run(command: list[str], tree: Path) -> None:
    process = subprocess.Popen(
        command,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "HOME": str(tree.parent)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with suppress(subprocess.TimeoutExpired):
        process.wait(MOST_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tool", action="append", default=[])
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--environments", help="keep the virtual environments here")
    given = parser.parse_args(arguments)
    cases = [
        case
        for case in all_cases()
        if not case.bundled and (case.name in given.case or not given.case)
    ]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="peers-") as temporary:
        folder = Path(given.environments or temporary)
        for tool in TOOLS:
            if given.tool and tool.name not in given.tool:
                continue
            programs = environment_of(tool, folder)
            for case in cases:
                rows.append(try_tool(tool, programs, case))
                row = rows[-1]
                print(
                    f"{row.tool:<24}{row.case:<18}{row.label:<9}{row.seconds:>7.1f} s", flush=True
                )
                save("peers", [asdict(each) for each in rows])
    print()
    for name in dict.fromkeys(row.tool for row in rows):
        counts = Counter(row.label for row in rows if row.tool == name)
        words = ", ".join(
            f"{counts[label]} {label}" for label in ("correct", "masking", "wrong", "nothing")
        )
        print(f"{name:<24}{words}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
