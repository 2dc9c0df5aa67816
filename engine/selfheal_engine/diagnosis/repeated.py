"""Reproducers of what only repetition shows: memory that piles up, descriptors, an empty pool.

Each is replayed many times in one process; the fault is that something grows with every call,
or that in the end the same input fails (see `sandbox_validator.inside.growth`).
"""

from __future__ import annotations

from dataclasses import replace

from selfheal_agent.recording import is_exact
from selfheal_engine.diagnosis import conversations
from selfheal_engine.diagnosis.keeping import repeatable
from selfheal_engine.diagnosis.source_file import SourceFile, Sources
from selfheal_engine.model import Frame, Growth, Occurrence, Reproducer, RequestRecord

MOST = 4
MOST_OF_HANDLES = 2
"""The outermost says it all: who takes gives back somewhere on the way out."""
MAX_INPUTS = 20
DESCRIPTOR = "descriptor:"
"""Begins the type of a growth that is no memory."""


def growth(occurrence: Occurrence, sources: Sources) -> tuple[Reproducer, ...]:
    """Of a report that names where memory or descriptors pile up."""
    found: list[Reproducer] = []
    for one in occurrence.growth:
        relative = sources.project.relative(one.file)
        file = sources.get(relative) if relative is not None else None
        if file is None:
            continue
        place = Reproducer("growth", crash_file=file.path, crash_line=one.line)
        if one.type_name.startswith(DESCRIPTOR):
            place = replace(place, exception=occurrence.exception)
            users = _openers(occurrence, sources)
        else:
            users = _keepers(occurrence, sources, file, one)
        request = _request(occurrence)
        if request is not None:
            found.append(replace(place, request=request))
        calls = [_repeated_call(occurrence, sources, user, place) for user in users]
        # without its own input a function is repeated by the request, which has been said
        found += [call for call in calls if call.arguments or request is None]
    handles = any(one.type_name.startswith(DESCRIPTOR) for one in occurrence.growth)
    if handles and not any(one.request for one in found):
        talk = conversations.repeated(occurrence, sources)
        found = [*([talk] if talk is not None else []), *found]
    # several places that grow are often reached by one and the same input
    each: dict[tuple[object, ...], Reproducer] = {}
    for again in found:
        same = (again.request, again.file, again.functions, again.connections, again.exception)
        each.setdefault(same, again)
    return tuple(each.values())[: MOST_OF_HANDLES if handles else MOST]


def exhaustion(
    occurrence: Occurrence, sources: Sources, reproducers: tuple[Reproducer, ...]
) -> tuple[Reproducer, ...]:
    """Of an exception that says that nothing is left: its own input and that of others, repeated.

    What is taken and not given back is empty again only after many calls, of whoever leaks.
    """
    found: list[Reproducer] = []
    request = _request(occurrence)
    if request is not None:
        first = Reproducer("growth", request=request, exception=occurrence.exception)
        found.append(first)
    else:
        talk = conversations.repeated(occurrence, sources)
        found += [talk] if talk is not None else []
    calls = [one for one in reproducers if one.kind == "call"]
    found += [replace(one, kind="growth", exception=occurrence.exception) for one in calls]
    return tuple(found)[:MOST_OF_HANDLES]


def _request(occurrence: Occurrence) -> RequestRecord | None:
    """The request that was served; else any that went well, of those that can be sent again."""
    requests = [occurrence.request, *(good.request for good in occurrence.good_calls)]
    return next((r for r in requests if r is not None and r.app), None)


def _keepers(
    occurrence: Occurrence, sources: Sources, file: SourceFile, one: Growth
) -> list[tuple[SourceFile, str]]:
    """The functions on the way and those that keep, then the one that allocates."""
    function = file.function_at(one.line)
    called = {call.function for call in occurrence.good_calls if call.arguments}
    found = [user for user in repeatable(occurrence, sources) if user[1] in called]
    own = [(file, file.qualified_name(function))] if function is not None else []
    return list(dict.fromkeys([*found, *own]))


def _openers(occurrence: Occurrence, sources: Sources) -> list[tuple[SourceFile, str]]:
    """The functions on the way to the opening line, outermost first, that can be called again.

    Whoever only hands out what it opens leaves it to its callers, so these come first.
    """
    found = []
    for frame in occurrence.frames:
        relative = sources.project.relative(frame.file)
        file = sources.get(relative) if relative is not None else None
        if frame.own and file is not None and frame.function in file.functions:
            recorded = any(c.function == frame.function for c in occurrence.good_calls)
            if frame.arguments or recorded:
                found.append((file, frame.function))
    return found


def _repeated_call(
    occurrence: Occurrence, sources: Sources, user: tuple[SourceFile, str], place: Reproducer
) -> Reproducer:
    file, name = user
    good = [c.arguments for c in occurrence.good_calls if c.function == name and c.arguments]
    own = [f.arguments for f in occurrence.frames if f.own and f.function == name and f.arguments]
    inputs = tuple(dict.fromkeys([*own, *good]))[:MAX_INPUTS]
    return replace(
        place,
        module=sources.project.module_of(file.path),
        file=file.path,
        functions=(name,),
        arguments=inputs,
        crash_function=name,
        exact=any(map(is_exact, inputs)),
    )


def module_name(frame: Frame, relative: str) -> str:
    """How to import the frame's file: its module, or its path where it ran as a script."""
    if frame.module not in ("", "__main__", "__mp_main__"):
        return frame.module
    return relative.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
