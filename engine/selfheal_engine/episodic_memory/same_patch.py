"""When two diffs are the same patch: the same lines go and come in the same files.

A rejected patch must not come back because a comment above it moved the line numbers, so
hunk positions, context and trailing blanks do not count.
"""

from __future__ import annotations

from hashlib import sha256


def patch_key(diff: str) -> str:
    """A key that two unified diffs share when they change the same text of the same files."""
    kept = []
    for line in diff.splitlines():
        if line.startswith(("---", "+++")):
            kept.append(line.split("\t")[0].rstrip())
        elif line[:1] in ("+", "-"):
            kept.append(line.rstrip())
    return sha256("\n".join(kept).encode("utf-8", "surrogatepass")).hexdigest()
