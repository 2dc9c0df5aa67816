"""Lists the benchmarks and runs them: `python -m tests.benchmarks [NAME ...]`.

A benchmark is a module of this folder with a `main(arguments) -> int`; it measures the shipped
code, prints a table and writes its figures to `bench-results/<name>.json`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def benchmarks() -> dict[str, str]:
    """Name and first sentence of every benchmark, read without importing it."""
    found = {}
    for file in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if "main" in names and not file.name.startswith("_"):
            found[file.stem] = (ast.get_docstring(tree) or "").split("\n")[0]
    return found


def main(arguments: list[str]) -> int:
    """Run the named benchmarks one after the other, or say which there are."""
    known = benchmarks()
    if not arguments:
        width = max(map(len, known), default=0)
        print("python -m tests.benchmarks NAME ... | all\n")
        for name, sentence in known.items():
            print(f"  {name:<{width}}  {sentence}")
        return 0
    chosen = list(known) if arguments == ["all"] else arguments
    unknown = [name for name in chosen if name not in known]
    if unknown:
        print(f"no benchmark called {', '.join(unknown)}: there are {', '.join(known)}")
        return 2
    # each in an interpreter of its own, so that none measures what another has imported
    commands = [[sys.executable, "-m", f"tests.benchmarks.{name}"] for name in chosen]
    return max(subprocess.run(command, check=False).returncode for command in commands)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
