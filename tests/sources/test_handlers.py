"""Which printed exceptions their handlers expected."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from selfheal_engine.model import Frame, Occurrence
from selfheal_engine.sources.handlers import judged

LOOP = """\
def f(job):
    try:
        run(job)
    except {}:
        print("failed")
        {}
"""


@pytest.mark.parametrize(
    ("handlers", "exception", "last", "expected"),
    [
        ("Exception", "KeyError", "pass", False),
        ("(ValueError, Exception)", "KeyError", "pass", False),
        ("KeyError", "KeyError", "pass", True),
        ("LookupError", "KeyError", "pass", True),
        ("queue.Empty", "_queue.Empty", "pass", True),
        ("KeyError", "KeyError", "raise", False),
        ("KeyError:\n        print('gone')\n    except Exception", "KeyError", "pass", True),
        ("KeyError:\n        print('gone')\n    except Exception", "TypeError", "pass", False),
    ],
)
def test_a_handler_that_names_what_it_catches_expected_it(
    handlers: str, exception: str, last: str, expected: bool, tmp_path: Path
) -> None:
    file = tmp_path / "loop.py"
    file.write_text(textwrap.dedent(LOOP.format(handlers, last)))
    frame = Frame(str(file), 3, "f", own=True)
    printed = Occurrence("o", "exception", 1.0, 7, exception, "'a'", (frame,), handled=True)
    assert judged(replace(printed, caught_by="print")).handled is expected
    assert judged(printed).handled  # by another way than print: nobody's words are doubted
