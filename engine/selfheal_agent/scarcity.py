"""Failures behind which a library hides that the process has no descriptor left.

sqlite3 says that it cannot open the file, the resolver that it knows no address, OpenSSL that
something is wrong: whoever reads that looks for a wrong path or a peer that is down.
"""

from __future__ import annotations

import errno
import os

HIDES = (
    "unable to open",
    "cannot open",
    "can't open",
    "could not open",
    "failed to open",
    "name resolution",
    "could not create socket",
    "unknown error",
    "system lib",
)
TOLD = "too many open files"


def hidden_cause(message: str) -> str:
    """What to add to the message of a failure that comes from a lack of descriptors; else "".

    Asked once for a new kind of failure, at the moment it is recorded.
    """
    text = message.lower()
    if TOLD in text or not any(words in text for words in HIDES):
        return ""
    try:
        os.close(os.dup(2))
    except OSError as why:
        if why.errno in (errno.EMFILE, errno.ENFILE):
            return f" ({TOLD}: the process has no descriptor left)"
    return ""
