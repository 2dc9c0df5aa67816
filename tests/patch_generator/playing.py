"""Runs a rule's example for real and hands back the occurrence that the probe would record."""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType, TracebackType

from selfheal_agent.values import picture_all
from selfheal_engine.codec import from_plain
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.model import Frame, Growth, Occurrence, Value, WaitingThread
from selfheal_engine.patch_generator.rules import Example
from selfheal_engine.project import Project

MODULE = "example.py"
MARK = "# <- here"


def project_of(example: Example, folder: Path) -> Project:
    """Write the example's files."""
    (folder / MODULE).write_text(example.before)
    for path, text in example.others:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return Project(folder, sys.executable)


def occurrence_of(example: Example, folder: Path, columns: bool = True) -> Occurrence:
    """Run the example and record its failure; marked lines stand for what raises nothing."""
    if example.kind in ("exception", "thread_death"):
        return _raised(example, folder, columns)
    if example.kind == "syntax":
        return _broken(example, folder)
    return _marked(example, folder)


def _raised(example: Example, folder: Path, columns: bool) -> Occurrence:
    file = str(folder / MODULE)
    space: dict[str, object] = {"__name__": "example", "__file__": file}
    path, loaded = sys.path[:], set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        exec(compile(example.before, file, "exec", dont_inherit=True), space)
        exec(compile(example.call, "<call>", "exec"), space)
    except BaseException as error:  # noqa: BLE001 - recorded, as the probe would
        return occurrence_from(error, folder, columns, example.kind)
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - loaded:
            del sys.modules[name]
    raise AssertionError(f"the example does not fail:\n{example.before}")


def occurrence_from(
    error: BaseException, folder: Path, columns: bool = True, kind: str = "exception"
) -> Occurrence:
    """The record of a raised exception, with the frames of files below `folder` as own."""
    frames: list[Frame] = []
    step: TracebackType | None = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        file = code.co_filename
        own = file.startswith(str(folder))
        if own or frames:
            positions = _positions(code, step.tb_lasti) if columns else (None, None, None)
            locals_ = step.tb_frame.f_locals if code.co_name != "<module>" else {}
            frames.append(
                Frame(
                    file,
                    step.tb_lineno,
                    code.co_qualname,
                    module=str(step.tb_frame.f_globals.get("__name__", "")),
                    source_line=_line(file, step.tb_lineno),
                    own=own,
                    end_line=positions[0],
                    column=positions[1],
                    end_column=positions[2],
                    first_line=code.co_firstlineno,
                    locals=tuple((n, from_plain(Value, v)) for n, v in picture_all(dict(locals_))),
                )
            )
        step = step.tb_next
    kind_of = type(error)
    name = kind_of.__qualname__
    if kind_of.__module__ != "builtins":
        name = f"{kind_of.__module__}.{name}"
    return Occurrence("o1", kind, 1.0, 1, name, str(error), tuple(frames))  # type: ignore[arg-type]


def _positions(code: CodeType, index: int) -> tuple[int | None, int | None, int | None]:
    line, end_line, column, end_column = list(code.co_positions())[index // 2]
    del line
    return end_line, column, end_column


def _line(file: str, number: int) -> str:
    path = Path(file)
    lines = path.read_text().splitlines() if path.is_file() else []
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def _broken(example: Example, folder: Path) -> Occurrence:
    file = str(folder / MODULE)
    try:
        compile(example.before, file, "exec")
    except SyntaxError as error:
        frame = Frame(file, error.lineno or 1, "<module>", "example", error.text or "", own=True)
        return Occurrence("o1", "syntax", 1.0, 1, type(error).__name__, error.msg, (frame,))
    occurrence = _raised(example, folder, True)
    return Occurrence(
        "o1", "syntax", 1.0, 1, occurrence.exception, occurrence.message, occurrence.frames
    )


def _marked(example: Example, folder: Path) -> Occurrence:
    """A leak, stall, deadlock or resource report for the lines marked in the example."""
    path = folder / MODULE
    source = SourceFile(MODULE, path.read_bytes())
    marks = [i for i, s in enumerate(example.before.splitlines(), 1) if MARK in s]
    frames = []
    for line in marks:
        function = source.function_at(line)
        name = source.qualified_name(function) if function is not None else "<module>"
        frames.append(Frame(str(path), line, name, "example", source.line(line), own=True))
    growth = tuple(Growth(str(path), line, 1_000_000, 5_000) for line in marks)
    threads = tuple(
        WaitingThread(f"t{i}", (frame,), 60.0, "lock", f"t{1 - i}")
        for i, frame in enumerate(frames)
    )
    return Occurrence(
        "o1",
        example.kind,  # type: ignore[arg-type]
        1.0,
        1,
        example.exception,
        "",
        tuple(frames[-1:]) if example.kind != "leak" else (),
        growth=growth if example.kind == "leak" else (),
        threads=threads if example.kind in ("deadlock", "stall") else (),
    )
