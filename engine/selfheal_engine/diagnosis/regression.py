"""A regression test from a recorded request or call, in the project's own test style.

Only what can be written as plain Python goes into a test: a recording that holds other objects
gives no test, because a test that nobody can read is no test.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Any

from selfheal_engine.model import Diagnosis, Occurrence, Reproducer, RequestRecord
from selfheal_engine.project import Project


def regression_test(
    diagnosis: Diagnosis, occurrence: Occurrence, project: Project
) -> tuple[str, bytes] | None:
    """(path relative to the project, content) of a new test; None where none can be written."""
    for reproducer in diagnosis.reproducers:
        body = None
        if reproducer.kind == "request" and reproducer.request is not None:
            body = _request_test(reproducer.request, occurrence)
        elif reproducer.kind == "call" and reproducer.exact:
            body = _call_test(reproducer, occurrence)
        if body is not None:
            folder, unittest_style = _style(project)
            name = re.sub(r"\W+", "_", _subject(reproducer)).strip("_").lower()
            path = str(PurePosixPath(folder) / f"test_regression_{name}.py")
            if (project.root / path).exists():
                path = path.removesuffix(".py") + f"_{occurrence.fingerprint[:6]}.py"
            text = _as_unittest(body) if unittest_style else _as_pytest(body)
            return path, text.encode()
    return None


def _subject(reproducer: Reproducer) -> str:
    if reproducer.request is not None:
        return reproducer.request.route or reproducer.request.path
    return reproducer.functions[0] if reproducer.functions else reproducer.kind


def _style(project: Project) -> tuple[str, bool]:
    """(folder of the tests, whether they are unittest classes without pytest)."""
    tests = [
        path
        for path in project.python_files()
        if PurePosixPath(path).name.startswith("test_") or path.endswith("_test.py")
    ]
    folder = str(PurePosixPath(tests[0]).parent) if tests else "tests"
    texts = [project.read(path) for path in tests[:20]]
    classes = sum(b"unittest.TestCase" in text for text in texts)
    return ("" if folder == "." else folder), bool(texts) and classes > len(texts) / 2


Parts = tuple[str, list[str], list[str]]
"""(test's name, imports, body lines)."""


def _request_test(request: RequestRecord, occurrence: Occurrence) -> Parts | None:
    module, _, name = request.app.partition(":")
    if not module or not name or request.body_truncated or "(" in name:
        return None
    subject = re.sub(r"\W+", "_", f"{request.method} {request.route or request.path}").strip("_")
    target = request.path + (f"?{request.query}" if request.query else "")
    headers = {k: v for k, v in request.headers if k.lower() in ("content-type", "accept")}
    arguments = [repr(target), f"method={request.method!r}"]
    if request.body:
        arguments.append(f"data={request.body!r}")
    if headers:
        arguments.append(f"headers={headers!r}")
    if request.framework in ("flask", "quart"):
        return (
            f"test_{subject.lower()}_answers",
            [f"from {module} import {name}"],
            [
                f"answer = {name}.test_client().open({', '.join(arguments)})",
                "assert answer.status_code < 500",
            ],
        )
    if request.framework in ("fastapi", "starlette"):
        method, url, *rest = f"method={request.method!r}", arguments[0], *arguments[2:]
        rest = [x.replace("data=", "content=", 1) for x in rest]
        return (
            f"test_{subject.lower()}_answers",
            ["from starlette.testclient import TestClient", "", f"from {module} import {name}"],
            [
                f"client = TestClient({name}, raise_server_exceptions=False)",
                f"answer = client.request({', '.join([method, f'url={url}', *rest])})",
                "assert answer.status_code < 500",
            ],
        )
    return None


def _call_test(reproducer: Reproducer, occurrence: Occurrence) -> Parts | None:
    name = reproducer.functions[0]
    if "." in name:
        return None  # a method needs its object
    found = _plain_arguments(reproducer.arguments[0])
    if found is None:
        return None
    arguments = ", ".join(found)
    return (
        f"test_{name}_copes_with_the_recorded_call",
        [f"from {reproducer.module} import {name}"],
        [f"{name}({arguments})  # raised {occurrence.exception} before"],
    )


def _plain_arguments(recording: str) -> list[str] | None:
    """Source texts of recorded arguments; None where one is not a plain value."""
    try:
        recorded: Any = json.loads(recording)
    except ValueError:
        return None
    given = recorded.get("v") if isinstance(recorded, dict) else None
    if not isinstance(given, dict) or not isinstance(given.get("args"), list):
        return None
    named = given.get("kwargs")
    named = named.get("v", {}) if isinstance(named, dict) else {}
    plain = (str, int, float, bool, type(None))
    if not all(isinstance(v, plain) for v in [*given["args"], *named.values()]):
        return None
    return [*map(repr, given["args"]), *(f"{key}={value!r}" for key, value in named.items())]


def _as_pytest(parts: Parts) -> str:
    name, imports, body = parts
    lines = "".join(f"    {line}\n" for line in body)
    return "\n".join(imports) + f"\n\n\ndef {name}():\n{lines}"


def _as_unittest(parts: Parts) -> str:
    name, imports, body = parts
    lines = "".join(f"        {line}\n" for line in body)
    head = "\n".join(["import unittest", "", *imports])
    return f"{head}\n\n\nclass RegressionTest(unittest.TestCase):\n    def {name}(self):\n{lines}"
