"""The journal's lines: how one commit is sealed, and how a file of them is read back.

A line is `<checksum> <length> <payload>\n`: the payload is JSON in UTF-8 without raw
newlines, the length is its size in bytes, and the checksum is BLAKE2b-64 over the line
before's checksum, the length and the payload. Chaining makes a lost, doubled or reordered
line as visible as a flipped bit.

How an end of file is judged. A writer that dies leaves a prefix of its line: no newline, and
fewer bytes than the length announces. Only that is torn and may be cut. A line that is whole
(its newline, or all its bytes, are there) but does not verify was acknowledged once, so it is
damage, and the file is refused rather than shortened.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

START = b"0" * 16
"""The checksum that the first line is chained to."""
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Scan:
    """What a stretch of journal holds."""

    payloads: list[bytes]
    checksum: bytes
    """Of the last line that verified: what the next one is chained to."""
    end: int
    """Offset behind the last line that verified."""
    tail: Literal["none", "torn", "unended", "damaged"]
    """What follows there. unended: a whole line of which only the newline is missing."""


def seal(previous: bytes, payload: bytes) -> tuple[bytes, bytes]:
    """The line for `payload` after the line whose checksum is `previous`, and its checksum."""
    body = b"%d %s" % (len(payload), payload)
    checksum = _checksum(previous, body)
    return checksum + b" " + body + b"\n", checksum


def scan(content: bytes, previous: bytes = START) -> Scan:
    """Read every line of `content`; the first one is chained to `previous`."""
    payloads: list[bytes] = []
    position, size = 0, len(content)
    while position < size:
        newline = content.find(b"\n", position)
        if newline < 0:
            return _judge_tail(content[position:], previous, payloads, position)
        line = content[position:newline]
        payload = _verified(line, previous)
        if payload is None:
            return Scan(payloads, previous, position, "damaged")
        payloads.append(payload)
        previous = line[:_DIGITS]
        position = newline + 1
    return Scan(payloads, previous, position, "none")


def salvage(content: bytes) -> tuple[list[bytes], int]:
    """Payloads of all lines that verify against the line before them, and how many do not.

    For a damaged file only. A line behind a damaged one still verifies when the damaged line's
    own checksum text survived; otherwise it is counted as lost too, never guessed.
    """
    payloads: list[bytes] = []
    lost = 0
    previous = START
    for line in content.split(b"\n"):
        if not line:
            continue
        payload = _verified(line, previous)
        if payload is None:
            lost += 1
        else:
            payloads.append(payload)
        previous = line[:_DIGITS]
    return payloads, lost


def _checksum(previous: bytes, body: bytes) -> bytes:
    digest = blake2b(previous, digest_size=_DIGITS // 2)
    digest.update(body)
    return digest.hexdigest().encode("ascii")


def _verified(line: bytes, previous: bytes) -> bytes | None:
    body = line[_DIGITS + 1 :]
    if line[_DIGITS : _DIGITS + 1] != b" " or line[:_DIGITS] != _checksum(previous, body):
        return None
    length, _, payload = body.partition(b" ")
    return payload if length == b"%d" % len(payload) else None


def _judge_tail(tail: bytes, previous: bytes, payloads: list[bytes], position: int) -> Scan:
    if _verified(tail, previous) is not None:
        return Scan(payloads, previous, position, "unended")
    length, space, payload = tail[_DIGITS + 1 :].partition(b" ")
    whole = bool(space) and length.isdigit() and len(payload) >= int(length)
    return Scan(payloads, previous, position, "damaged" if whole else "torn")
