"""An external proposer: reads a brief on standard input, writes unified diffs as JSON.

Try it with `proposer = "python docs/examples/proposer.py"` in the config file.
It knows one trick, `mapping["key"]` becomes `mapping.get("key")` on the first suspect's line; put
your model's command line where `suggest` is.
"""

from __future__ import annotations

import difflib
import json
import re
import sys


def suggest(line: str) -> str:
    """A changed line, or the same one when there is nothing to suggest."""
    return re.sub(r"(\w+)\[(\"\w+\"|'\w+')\](?!\s*=[^=])", r"\1.get(\2)", line, count=1)


def main() -> None:
    brief = json.load(sys.stdin)
    diffs = []
    for suspect in brief["suspects"][:3]:
        text = brief["files"].get(suspect["file"], "")
        lines = text.splitlines(keepends=True)
        at = suspect["line"] - 1
        if not 0 <= at < len(lines) or suggest(lines[at]) == lines[at]:
            continue
        changed = [*lines[:at], suggest(lines[at]), *lines[at + 1 :]]
        path = suspect["file"]
        diffs.append("".join(difflib.unified_diff(lines, changed, f"a/{path}", f"b/{path}")))
    json.dump({"diffs": diffs}, sys.stdout)


if __name__ == "__main__":
    main()
