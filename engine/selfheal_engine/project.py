"""The service's source tree as diagnosis, repair and validation see it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

SKIPPED_FOLDERS = frozenset(
    {".git", ".hg", ".venv", "venv", "__pycache__", "node_modules", "site-packages", ".tox"}
)


@dataclass(frozen=True, slots=True)
class Project:
    """Where the code is, what runs it and what tests it."""

    root: Path
    python: str
    """The service's own interpreter, which also runs everything inside the sandbox."""
    tests: tuple[str, ...] = ()
    """Command that runs the tests; empty: none known."""
    import_paths: tuple[str, ...] = ()
    """Folders of the project on sys.path, absolute, in order; empty: the root."""

    def relative(self, file: str) -> str | None:
        """`file` relative to the project with forward slashes, None when it lies outside."""
        path = Path(file)
        path = path if path.is_absolute() else self.root / path
        try:
            inside = path.resolve().relative_to(self.root.resolve())
        except ValueError:
            return None
        return None if SKIPPED_FOLDERS.intersection(inside.parts) else inside.as_posix()

    def module_of(self, file: str) -> str:
        """Dotted name under which the project imports a file, "" when it cannot be told."""
        relative = self.relative(file)
        if relative is None or not relative.endswith(".py"):
            return ""
        path = (self.root / relative).resolve()
        folders = [self.root.resolve().joinpath(p).resolve() for p in self.import_paths]
        for folder in sorted(folders or [self.root.resolve()], key=lambda f: -len(f.parts)):
            if path.is_relative_to(folder):
                parts = list(path.relative_to(folder).with_suffix("").parts)
                if parts[-1] == "__init__":
                    parts.pop()
                return ".".join(parts)
        return ""

    def read(self, relative: str) -> bytes:
        """The file's bytes. Raises OSError."""
        return (self.root / relative).read_bytes()

    def python_files(self) -> list[str]:
        """Every Python file of the project, relative, sorted; vendored folders left out."""
        found: list[str] = []
        pending = [self.root]
        while pending:
            for entry in sorted(pending.pop().iterdir()):
                if entry.is_symlink():
                    continue
                if entry.is_dir():
                    if entry.name not in SKIPPED_FOLDERS:
                        pending.append(entry)
                elif entry.suffix == ".py":
                    found.append(entry.relative_to(self.root).as_posix())
        return sorted(found)


def sha256(content: bytes) -> str:
    """Hex digest that patches, swaps and the history use for a file's content."""
    return hashlib.sha256(content).hexdigest()
