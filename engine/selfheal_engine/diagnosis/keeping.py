"""Where a leak's memory is put away: the statements that store into the reported holder.

The report names the line that allocates, often the one that reads a request. Its holder's name,
`desk._notes`, leads to the code that keeps, which may lie in a file that never was on the way.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from selfheal_engine.diagnosis.failure import Failure
from selfheal_engine.diagnosis.growing import growing, storing
from selfheal_engine.diagnosis.source_file import SourceFile, Sources
from selfheal_engine.model import Frame, Occurrence


def keepers(
    occurrence: Occurrence, sources: Sources, files: Iterable[SourceFile] | None = None
) -> list[Failure]:
    """One place for each storing statement of the containers that the report names.

    In `files`; None: anywhere in the project.
    """
    names = [name for growth in occurrence.growth if (name := held_name(growth.holder))]
    found: list[Failure] = []
    for file in (sources.all() if files is None else files) if names else ():
        if "test" in file.path:
            continue
        for node in ast.walk(file.tree):
            function = file.function_of(node) if isinstance(node, ast.stmt) else None
            if function is None or not isinstance(node, ast.stmt):
                continue
            for container in storing(node):
                last = getattr(container, "attr", getattr(container, "id", ""))
                if last in names:
                    path = str(sources.project.root / file.path)
                    name = file.qualified_name(function)
                    frame = Frame(path, node.lineno, name, own=True)
                    found.append(Failure(file, frame, node, node, function))
    return found


def held_name(holder: str) -> str:
    """The container's own name: `_notes` of `__main__.desk._notes` and of `hub.rooms[...]`."""
    parts = re.findall(r"[A-Za-z_]\w*", re.sub(r"\[[^\]]*\]|\([^)]*\)", "", holder))
    return parts[-1] if len(parts) > 1 else ""


def repeatable(occurrence: Occurrence, sources: Sources) -> list[tuple[SourceFile, str]]:
    """The functions whose calls can show a leak again, those furthest out first.

    Whoever is on the way to what was kept comes before who keeps: what is put away deep down may
    well be taken out further out.
    """
    paths = [*(f.file for f in occurrence.frames), *(g.file for g in occurrence.growth)]
    files = map(sources.get, paths)
    known = [file for file in dict.fromkeys(files) if file is not None]
    found = [
        (file, frame.function)
        for frame in occurrence.frames
        if (file := sources.get(frame.file)) is not None and frame.function in file.functions
    ]
    found += [(k.file, k.frame.function) for k in keepers(occurrence, sources, known)]
    for file in known:
        users = [user for user in map(file.function_of, growing(file)) if user is not None]
        found += [(file, file.qualified_name(user)) for user in users]
    return list(dict.fromkeys(found))
