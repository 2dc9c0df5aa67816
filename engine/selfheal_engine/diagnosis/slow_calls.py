"""Calls that wait for a disk, a peer or a clock, or compute for long: none to make under a lock."""

from __future__ import annotations

import ast

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import SourceFile, Sources

_FILES = "open fsync fdatasync read_text read_bytes write_text write_bytes copyfile copytree move"
_PEERS = "urlopen sendall recv connect create_connection sendmail getaddrinfo"
_STORES = "execute executemany commit fetchall"
_OTHERS = "sleep Popen check_output check_call communicate pbkdf2_hmac scrypt checkpw hashpw"
SLOW = frozenset(f"{_FILES} {_PEERS} {_STORES} {_OTHERS}".split())
_OF_MODULES = {
    "requests": frozenset({"get", "post", "put", "patch", "delete", "head", "request"}),
    "httpx": frozenset({"get", "post", "put", "patch", "delete", "head", "request"}),
    "subprocess": frozenset({"run", "call"}),
}
_DEPTH = 3


def is_slow(sources: Sources, file: SourceFile, node: ast.AST) -> bool:
    """Whether code makes such a call, itself or in the project's functions that it calls."""
    return _slow(sources, file, node, _DEPTH, set())


def _slow(
    sources: Sources, file: SourceFile, node: ast.AST, depth: int, seen: set[ast.AST]
) -> bool:
    for call in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
        name = called_name(call)
        if name in SLOW or _of_a_module(file, call, name):
            return True
        if not depth or not name:
            continue
        for holder in sources.all():
            for qualified, function in holder.functions.items():
                if qualified.rpartition(".")[2] != name or function in seen:
                    continue
                seen.add(function)
                if _slow(sources, holder, function, depth - 1, seen):
                    return True
    return False


def _of_a_module(file: SourceFile, call: ast.Call, name: str) -> bool:
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    return owner is not None and name in _OF_MODULES.get(file.segment(owner), ())
