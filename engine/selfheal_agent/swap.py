"""Live replacement of functions, and the way back.

The request names a file, its hash and functions. The file on disk is compiled only when the
hash matches, so that the channel grants no more than the right to write that file. New
module-level imports and helpers are added first; then `__code__`, `__defaults__` and
`__kwdefaults__` of every live function object are replaced. What cannot be replaced safely is
refused with a reason before anything is touched.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from types import CodeType, FunctionType, ModuleType

from selfheal_agent import good_calls, texts
from selfheal_agent.swapping import UnswappableError, check_same_shape, plan_module

try:  # Python's own: with hashlib comes OpenSSL, nearly 4 MB in a service that lacks it
    from _sha2 import sha256 as _sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256 as _sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from hashlib import sha256 as _sha256

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any


class Swapper:
    """Swaps of one process, with what is needed to undo each."""

    def __init__(self) -> None:
        self._undo: dict[str, list[tuple[FunctionType, CodeType, Any, Any]]] = {}

    def swap(self, path: str, sha256: str, functions: list[str]) -> dict[str, Any]:
        """Bring the functions to the file's text. The answer is a `model.SwapResult` as JSON."""
        started = time.perf_counter()
        answer: dict[str, Any] = {"pid": os.getpid(), "ok": False, "swapped": [], "reason": ""}
        try:
            answer["swapped"] = self._swap(path, sha256, functions)
            answer["ok"] = True
        except UnswappableError as why:
            answer["reason"] = str(why)
        except SyntaxError as why:
            answer["reason"] = f"the file does not compile: {why.msg}, line {why.lineno}"
        except OSError as why:
            answer["reason"] = f"the file cannot be read: {why.strerror}"
        answer["seconds"] = time.perf_counter() - started
        return answer

    def revert(self, path: str) -> dict[str, Any]:
        """Put back the code that every function of the file had before its first swap."""
        started = time.perf_counter()
        kept = self._undo.pop(os.path.realpath(path), [])
        for function, code, defaults, kwdefaults in reversed(kept):
            good_calls.restore(function)
            texts.forget([function.__code__])
            _set(function, code, defaults, kwdefaults)
        return {
            "pid": os.getpid(),
            "ok": bool(kept),
            "swapped": sorted({function.__qualname__ for function, *_ in kept}),
            "reason": "" if kept else "nothing of this file was swapped in this process",
            "seconds": time.perf_counter() - started,
        }

    def _swap(self, path: str, sha256: str, wanted: list[str]) -> list[str]:
        real = os.path.realpath(path)
        with open(real, "rb") as stream:
            source = stream.read()
        found = _sha256(source).hexdigest()
        if found != sha256:
            raise UnswappableError("the file on disk is not the one that was approved")
        module = _module_of(real)
        if module is None:
            return []  # not imported here: the next import reads the new text anyway
        plan = plan_module(source, real, module, wanted)
        live = {name: _live_functions(module, name, real) for name in plan.functions}
        for name, new in plan.functions.items():
            if not live[name]:
                raise UnswappableError(f"{name} is not found in the running module")
            for function in live[name]:
                check_same_shape(function, new, name)
        plan.add_missing_names(module)
        undo = self._undo.setdefault(real, [])
        done = []
        texts.hold(real)  # what is not swapped goes on running the old text
        for name, new in plan.functions.items():
            for function in live[name]:
                good_calls.restore(function)
                undo.append(
                    (function, function.__code__, function.__defaults__, function.__kwdefaults__)
                )
                _set(
                    function,
                    _with_filename(new.__code__, function.__code__.co_filename),
                    new.__defaults__ if name in plan.new_defaults else function.__defaults__,
                    new.__kwdefaults__ if name in plan.new_defaults else function.__kwdefaults__,
                )
                texts.swapped([function.__code__], source)
            done.append(name)
        _confirm(live, plan.functions)
        return sorted(done)


def _set(function: FunctionType, code: CodeType, defaults: Any, kwdefaults: Any) -> None:
    function.__code__ = code
    function.__defaults__ = defaults
    function.__kwdefaults__ = kwdefaults


def _with_filename(code: CodeType, filename: str) -> CodeType:
    """The code with the running module's own spelling of its file, nested code included."""
    consts = tuple(
        _with_filename(item, filename) if isinstance(item, CodeType) else item
        for item in code.co_consts
    )
    return code.replace(co_filename=filename, co_consts=consts)


def _confirm(live: dict[str, list[FunctionType]], new: dict[str, FunctionType]) -> None:
    for name, functions in live.items():
        for function in functions:
            if function.__code__.co_code != new[name].__code__.co_code:
                raise UnswappableError(f"{name} did not take the new code")


def _module_of(real: str) -> ModuleType | None:
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if type(file) is str and file.endswith(".py") and os.path.realpath(file) == real:
            return module
    return None


def _live_functions(module: ModuleType, name: str, real: str) -> list[FunctionType]:
    """Every function object that runs this definition: by name, then by shared code."""
    found: list[FunctionType] = []
    for function in named_functions(module, name):
        if function not in found:
            found.append(function)
    codes = {
        id(good_calls.original_code(function)): good_calls.original_code(function)
        for function in found
    }
    if not codes:
        codes = {id(code): code for code in _codes_by_search(module, name, real)}
    for code in list(codes.values()):
        for referrer in gc.get_referrers(code):
            same = type(referrer) is FunctionType and referrer.__code__ is code
            if same and not any(referrer is known for known in found):
                found.append(referrer)
    return [f for f in found if f.__name__ == name.rsplit(".", 1)[-1]]


def named_functions(module: ModuleType, name: str) -> list[FunctionType]:
    """Functions that the module's own dictionaries hold under a qualified name.

    Decorators are looked through: wrappers' `__wrapped__` and closures, properties, static and
    class methods.
    """
    if "<locals>" in name:
        return []
    scope: Any = module.__dict__
    *outer, last = name.split(".")
    for part in outer:
        holder = scope.get(part)
        if not isinstance(holder, type):
            return []
        scope = type.__dict__["__dict__"].__get__(holder)
    return [
        function
        for function in _unwrap(scope.get(last))
        if _defined_as(good_calls.original_code(function), name)
        and function.__module__ == module.__name__
        and not good_calls.is_twin(function)
    ]


def _defined_as(code: CodeType, name: str) -> bool:
    # functools.wraps gives a wrapper the name of what it wraps; its code keeps its own
    return getattr(code, "co_qualname", None) == name or (
        not hasattr(code, "co_qualname") and code.co_name == name.rsplit(".", 1)[-1]
    )


def _unwrap(value: Any, depth: int = 6) -> list[FunctionType]:
    if value is None or depth == 0:
        return []
    if type(value) is FunctionType:
        found = [value]
        wrapped = value.__dict__.get("__wrapped__")
        found += _unwrap(wrapped, depth - 1)
        for cell in value.__closure__ or ():
            try:
                inner = cell.cell_contents
            except ValueError:
                continue
            if type(inner) is FunctionType:
                found += _unwrap(inner, depth - 1)
        return found
    if isinstance(value, property):
        return [
            f for part in (value.fget, value.fset, value.fdel) for f in _unwrap(part, depth - 1)
        ]
    if isinstance(value, (staticmethod, classmethod)):
        return _unwrap(value.__func__, depth - 1)
    state = getattr(value, "__dict__", None)
    if type(state) is dict:
        return [
            f
            for key in ("__wrapped__", "func", "_func", "function", "run")
            for f in _unwrap(state.get(key), depth - 1)
        ]
    return []


def _codes_by_search(module: ModuleType, name: str, real: str) -> list[CodeType]:
    """Codes of a nested function: constants of the functions around it."""
    parts = name.replace(".<locals>", "").split(".")
    outer = named_functions(module, name.split(".<locals>")[0])
    found: list[CodeType] = []
    for function in outer:
        codes = [good_calls.original_code(function)]
        for part in parts[len(function.__qualname__.split(".")) :]:
            codes = [
                const
                for code in codes
                for const in code.co_consts
                if isinstance(const, CodeType) and const.co_name == part
            ]
        found.extend(codes)
    return found
