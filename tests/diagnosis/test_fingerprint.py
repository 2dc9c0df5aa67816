"""A fingerprint is the bug's, not the file's layout or the machine's."""

from __future__ import annotations

from dataclasses import replace

from selfheal_engine.diagnosis.fingerprint import fingerprint
from selfheal_engine.model import Frame


def frame(
    function: str, line: int, text: str, own: bool = True, file: str = "/srv/a/app.py"
) -> Frame:
    return Frame(file, line, function, "app", text, own=own, first_line=line - 2)


CRASH = [frame("handler", 10, "return total(cart)"), frame("total", 40, "return cart.price + 1")]


def test_it_survives_a_line_shift_and_another_folder() -> None:
    moved = [replace(f, line=f.line + 7, file="/opt/b/app.py") for f in CRASH]
    assert fingerprint("exception", "TypeError", moved) == fingerprint(
        "exception", "TypeError", CRASH
    )


def test_it_survives_another_layout_and_a_comment_of_the_line() -> None:
    other = [CRASH[0], replace(CRASH[1], source_line="return  cart.price+1  # cents")]
    assert fingerprint("exception", "TypeError", other) == fingerprint(
        "exception", "TypeError", CRASH
    )


def test_another_exception_line_or_caller_is_another_bug() -> None:
    base = fingerprint("exception", "TypeError", CRASH)
    assert fingerprint("exception", "KeyError", CRASH) != base
    line = [CRASH[0], replace(CRASH[1], source_line="return cart.tax")]
    assert fingerprint("exception", "TypeError", line) != base
    caller = [replace(CRASH[0], function="other"), CRASH[1]]
    assert fingerprint("exception", "TypeError", caller) != base


def test_the_depth_of_a_recursion_does_not_matter() -> None:
    deep = [CRASH[0], *[CRASH[1]] * 9]
    deeper = [CRASH[0], *[CRASH[1]] * 400]
    assert fingerprint("exception", "RecursionError", deep) == fingerprint(
        "exception", "RecursionError", deeper
    )


def test_without_own_frames_the_last_one_counts() -> None:
    foreign = [frame("run", 3, "x()", own=False)]
    assert len(fingerprint("exception", "OSError", foreign)) == 16
    assert fingerprint("exception", "OSError", []) != fingerprint("stall", "", [])
