"""What holds for every test process."""

from __future__ import annotations

import ast
import functools
import sys
import threading

if sys.version_info < (3, 11, 9):
    # Until then the interpreter keeps one count for all parsing threads (gh-106905): where a
    # collection's callback lets a second thread parse amid the first one's parsing, as with
    # hypothesis in the process, the first ends in a SystemError of the interpreter's own.
    _one_at_a_time = threading.RLock()
    _parse = ast.parse

    @functools.wraps(_parse)
    def _parse_alone(*args, **kwargs):  # type: ignore[no-untyped-def]
        with _one_at_a_time:
            return _parse(*args, **kwargs)

    ast.parse = _parse_alone
