"""Arguments and results as JSON text that the sandbox can bring back to life.

`encode(value)` runs none of the service's code: built-in containers, common standard-library
values and plain objects (class path and state) are written by what CPython itself stores;
only C types without user hooks fall back to pickle. A call is recorded as
`{"args": [...], "kwargs": {...}}`, `self` or `cls` first in `args`, with `"globals": {...}` where
the function reads values that its module keeps. Shared and cyclic references are kept.

`decode(text)` imports the service's modules: it belongs inside the sandbox and nowhere else.

Form: null, booleans, numbers, text and lists stand for themselves; everything else is an
object {"$": tag, ...}. Containers and objects are numbered in the order they begin, and
{"$": "ref", "i": n} points back. A container that was cut says in "left_out" how many of its older
elements were not recorded.
"""

from __future__ import annotations

import binascii
import json
import math
import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from itertools import islice

from selfheal_agent.values import (
    ids,
    instance_dict,
    instance_slots,
    module_name_of,
    type_dict_of,
    type_flags_of,
    type_module_of,
    type_mro_of,
    type_qualname_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

MAX_NODES = 20_000
MAX_KEPT = 2_000
"""Objects of a call recorded together with what its module keeps."""
MAX_TEXT_BYTES = 262_144
MAX_DEPTH = 80
LIMITS = (0, 256, 32, 4)
"""Elements from which on a container is cut, by how often it had to be cut more; 0: never."""
NEWEST = 8
"""Elements that are recorded of a container that is cut; of one that is cut most, one."""
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_REDUCED = frozenset(
    [
        "datetime.date",
        "datetime.datetime",
        "datetime.time",
        "datetime.timedelta",
        "datetime.timezone",
        "decimal.Decimal",
        "fractions.Fraction",
        "uuid.UUID",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "zoneinfo.ZoneInfo",
        "ipaddress.IPv4Address",
        "ipaddress.IPv6Address",
        "array.array",
        "pathlib._local.PosixPath",
        "pathlib._local.PurePosixPath",
    ]
)
"""Standard-library values whose own pickling is known to run no code of the service."""
_FRESH = {
    "_thread.lock": "lock",
    "_thread.RLock": "rlock",
    "threading.Condition": "condition",
    "threading.Event": "event",
    "threading.Semaphore": "semaphore",
    "threading.local": "local",
    "_thread._local": "local",
    "logging.Logger": "logger",
    "asyncio.locks.Lock": "asyncio lock",
    "asyncio.locks.Event": "asyncio event",
    "asyncio.locks.Condition": "asyncio condition",
    "asyncio.locks.Semaphore": "asyncio semaphore",
    "asyncio.locks.BoundedSemaphore": "asyncio semaphore",
}
_QUEUES = {
    "queue.Queue": "queue",
    "queue.LifoQueue": "queue",
    "queue.PriorityQueue": "queue",
    "asyncio.queues.Queue": "_queue",
    "asyncio.queues.LifoQueue": "_queue",
    "asyncio.queues.PriorityQueue": "_queue",
}
"""Where queues keep their items; their locks belong together and are made new with them."""
_RUNNING = frozenset(
    [
        "asyncio",
        "concurrent",
        "multiprocessing",
        "select",
        "selectors",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "uvloop",
        "weakref",
        "_asyncio",
        "_io",
        "_weakref",
    ]
)
"""Modules whose objects stand for something that runs or is open: no state brings it back."""
_LISTED = ids(tuple, set, frozenset, deque)
_PAIRED = ids(OrderedDict, Counter)
_ITEMS = ids(list, deque)
_MAPPINGS = ids(dict, OrderedDict, defaultdict, Counter)
_FUNCTIONS = ids(types.FunctionType, types.BuiltinFunctionType)
_READ = ids(int, float, str, bytes)
_NO_INSTANTIATION = 1 << 7  # Py_TPFLAGS_DISALLOW_INSTANTIATION, from 3.10 on

grown: set[int] = set()
"""By id the containers that a memory report found growing: they are cut whatever their size."""


class UnrecordableError(Exception):
    """The value cannot be written down whole."""


class TooLargeError(UnrecordableError):
    """It could be, were it smaller."""


def encode(value: object, *, stand_ins: bool = False, most: int = MAX_NODES, limit: int = 0) -> str:
    """JSON text of `value`, of at most so many objects. Raises UnrecordableError.

    With `stand_ins`, what cannot be recorded (sockets, connections, generators, ...) is
    replaced by a marker, and `is_exact` says so. Containers of more elements than `limit` are cut.
    """
    try:
        text = json.dumps(
            _Encoder(stand_ins, most, limit).encode(value, 0),
            separators=(",", ":"),
            ensure_ascii=True,
        )
    except UnrecordableError:
        raise
    except (ValueError, TypeError, RecursionError, RuntimeError, AttributeError) as why:
        raise UnrecordableError(type(why).__name__) from None
    if len(text) > MAX_TEXT_BYTES:
        raise TooLargeError("larger than 256 KB")
    return text


def try_encode(value: object) -> str:
    """`encode` with stand-ins where needed, "" when even that is not possible."""
    if value is None:
        return ""
    try:
        return encode(value, stand_ins=True)
    except UnrecordableError:
        return ""


def encode_call(call: dict[str, Any], cut: int) -> tuple[str, int]:
    """(recording of a call at its entry, how much it was cut), cut at least as much as before.

    An object that holds all that the service has seen is recorded with the newest of it.
    """
    for more in range(cut, len(LIMITS)):
        try:
            return encode(call, stand_ins=True, limit=LIMITS[more]), more
        except TooLargeError:
            continue
        except UnrecordableError:
            break
    return "", len(LIMITS) - 1


def call_with_globals(call: dict[str, Any], kept: dict[str, Any]) -> str:
    """A call's recording, with those of the module's values that can be written whole."""
    text = try_encode(call)
    small = {name: value for name, value in kept.items() if _fits(value)} if text else {}
    if not small:
        return text
    try:
        more = encode({**call, "globals": small}, stand_ins=not is_exact(text), most=MAX_KEPT)
    except UnrecordableError:
        return text
    return more


def add_globals(text: str, kept: dict[str, Any]) -> str:
    """A call's recording made at its entry, with the module's values of now.

    They are a recording of their own, since references count from its beginning.
    """
    if not text.endswith("}}") or '"globals"' in text:
        return text
    small = {name: value for name, value in kept.items() if _fits(value)}
    try:
        more = encode(small, most=MAX_KEPT) if small else ""
    except UnrecordableError:
        more = ""
    return f'{text[:-2]},"globals":{json.dumps(more)}}}}}' if more else text


def _fits(value: object) -> bool:
    try:
        encode(value, most=MAX_KEPT // 4)
    except UnrecordableError:
        return False
    return True


def is_exact(text: str) -> bool:
    """Whether the recording holds no stand-in."""
    return '{"$":"standin"' not in text


def is_cut(text: str) -> bool:
    """Whether containers of the recording were cut."""
    return '"left_out":' in text


class _Encoder:
    def __init__(self, stand_ins: bool, most: int, limit: int = 0) -> None:
        self._stand_ins = stand_ins
        self._most = most
        self._limit = limit
        self._newest = min(NEWEST, limit // 4 or NEWEST)
        self._seen: dict[int, int] = {}
        self._kept: list[object] = []
        self._nodes = 0
        self._text = 0

    def encode(self, value: Any, depth: int) -> Any:
        cls = type(value)
        if value is None or cls is bool:
            return value
        if cls is int:
            return value if -(1 << 63) <= value < 1 << 63 else {"$": "int", "v": hex(value)}
        if cls is str:
            self._count_text(len(value))
            return value
        if cls is float:
            return value if math.isfinite(value) else {"$": "float", "v": repr(value)}
        self._nodes += 1
        if self._nodes > self._most or depth > MAX_DEPTH:
            raise TooLargeError("too large or too deep")
        leaf = self._leaf(value, cls)
        if leaf is not None:
            return leaf
        number = self._seen.get(id(value))
        if number is not None:
            return {"$": "ref", "i": number}
        self._seen[id(value)] = len(self._kept)
        self._kept.append(value)
        return self._container(value, cls, depth + 1)

    def _count_text(self, length: int) -> None:
        self._text += length
        if self._text > MAX_TEXT_BYTES:
            raise TooLargeError("larger than 256 KB")

    def _is_cut(self, value: Any, size: int) -> bool:
        return size > self._newest and (id(value) in grown or 0 < self._limit < size)

    def _leaf(self, value: Any, cls: type) -> Any:
        if cls is bytes or cls is bytearray:
            self._count_text(len(value))
            return {"$": cls.__name__, "v": _b64(value)}
        if cls is complex:
            return {"$": "complex", "v": [value.real, value.imag]}
        if value is Ellipsis or value is NotImplemented:
            return {"$": "name", "v": repr(value)}
        if cls is range:
            return {"$": "range", "v": [value.start, value.stop, value.step]}
        if cls is types.ModuleType:
            return {"$": "module", "v": module_name_of(value)}
        if issubclass(cls, type) and _resolvable(value):
            return {"$": "class", "v": _class_path(value)}
        return None

    def _function(self, value: Any) -> Any:
        module, name = value.__module__, value.__qualname__
        if type(module) is str and _resolve(module, name) is value:
            return {"$": "function", "v": [module, name]}
        return self._stand_in(type(value))

    def _container(self, value: Any, cls: type, depth: int) -> Any:
        if cls is list or id(cls) in _LISTED:
            made: dict[str, Any] = {"$": cls.__name__}
            made["v"] = self._elements(value, cls, depth, made)
            if cls is list and len(made) == 2:
                return made["v"]
            if cls is deque and value.maxlen is not None:
                made["n"] = value.maxlen
            return made
        if cls is dict:
            return self._dict(value, depth)
        if id(cls) in _PAIRED or cls is defaultdict:
            made = {"$": cls.__name__}
            if cls is defaultdict:
                made["f"] = self.encode(value.default_factory, depth)
            made["v"] = self._pairs(value, depth, made)
            return made
        if cls is types.MethodType:
            return {
                "$": "method",
                "f": self.encode(value.__func__, depth),
                "o": self.encode(value.__self__, depth),
            }
        if id(cls) in _FUNCTIONS:
            return self._function(value)
        module = type_module_of(cls)
        path = f"{module}.{type_qualname_of(cls)}"
        if path in _FRESH:
            return {"$": "fresh", "v": _FRESH[path]}
        if path in _QUEUES:
            return self._queue(value, cls, _QUEUES[path], depth)
        if path in _REDUCED or _is_plain_c_type(value, cls):
            return self._pickled(value)
        if type(module) is str and module.partition(".")[0] in _RUNNING:
            return self._stand_in(cls)
        return self._object(value, cls, depth)

    def _queue(self, value: Any, cls: type, kept_in: str, depth: int) -> Any:
        state = instance_dict(value)
        items: Any = state.get(kept_in)
        limit = state.get("maxsize", state.get("_maxsize"))
        if id(type(items)) not in _ITEMS or type(limit) is not int:
            return self._stand_in(cls)
        made = {"$": "queue", "c": _class_path(cls), "n": limit}
        made["v"] = self._elements(items, type(items), depth, made)
        return made

    def _dict(self, value: dict[Any, Any], depth: int) -> Any:
        made: dict[str, Any] = {"$": "d"}
        items = self._items(value, made)
        if all(type(key) is str and key != "$" for key, _ in items):
            self._count_text(sum(len(key) for key, _ in items))
            made["v"] = {key: self.encode(item, depth) for key, item in items}
        else:
            made["$"] = "dict"
            made["v"] = [[self.encode(key, depth), self.encode(v, depth)] for key, v in items]
        return made

    def _pairs(self, value: Any, depth: int, made: dict[str, Any]) -> list[list[Any]]:
        found = self._items(value, made)
        return [[self.encode(key, depth), self.encode(item, depth)] for key, item in found]

    def _items(self, value: Any, made: dict[str, Any]) -> list[tuple[Any, Any]]:
        """Keys and values, the newest where the mapping is cut; `made` then tells."""
        size = dict.__len__(value)
        if not self._is_cut(value, size):
            return list(dict.items(value))
        made["left_out"] = size - self._newest
        return list(islice(reversed(dict.items(value)), self._newest))[::-1]

    def _elements(self, value: Any, base: Any, depth: int, made: dict[str, Any]) -> list[Any]:
        """The same for what is no mapping; `base` is the built-in type that holds them."""
        size = base.__len__(value)
        found: Any = base.__iter__(value)
        if base is not tuple and base is not frozenset and self._is_cut(value, size):
            made["left_out"] = size - self._newest
            newest: Any = base.__reversed__(value) if hasattr(base, "__reversed__") else found
            found = list(islice(newest, self._newest))[::-1]
        return [self.encode(item, depth) for item in found]

    def _pickled(self, value: Any) -> Any:
        import pickle

        body = pickle.dumps(value, protocol=4)
        self._count_text(len(body))
        return {"$": "pickle", "v": _b64(body)}

    def _object(self, value: Any, cls: type, depth: int) -> Any:
        mro = type_mro_of(cls)
        names = {f"{type_module_of(base)}.{type_qualname_of(base)}" for base in mro}
        if "enum.Enum" in names:
            name = instance_dict(value).get("_name_")
            if type(name) is not str or "enum.Flag" in names:
                return {
                    "$": "flags",
                    "c": _class_path(cls),
                    "v": self.encode(instance_dict(value)["_value_"], depth),
                }
            return {"$": "enum", "c": _class_path(cls), "v": name}
        base: Any = next((b for b in mro if _made_in_c(b)), object)
        if not _resolvable(cls) or any(type_flags_of(b) & _NO_INSTANTIATION for b in mro):
            return self._stand_in(cls)
        made: dict[str, Any] = {"$": "object", "c": _class_path(cls)}
        if id(base) in _MAPPINGS:
            made["items"] = self._pairs(value, depth, made)
        elif base is list or id(base) in _LISTED:
            made["base"] = self._elements(value, base, depth, made)
        elif id(base) in _READ:
            made["base"] = self.encode(base.__new__(base, _raw(value, base)), depth)
        elif issubclass(base, BaseException):
            made["args"] = self.encode(BaseException.args.__get__(value), depth)  # type: ignore[attr-defined]
        elif base is not object:
            return self._stand_in(cls)
        state = instance_dict(value)
        if state:
            made["state"] = {
                key: self.encode(item, depth)
                for key, item in list(state.items())
                if type(key) is str
            }
        slots = instance_slots(value)
        if slots:
            made["slots"] = {key: self.encode(item, depth) for key, item in slots}
        return made

    def _stand_in(self, cls: type) -> Any:
        if not self._stand_ins:
            raise UnrecordableError(_class_path_text(cls))
        return {"$": "standin", "v": _class_path_text(cls)}


def _raw(value: Any, base: type) -> Any:
    # int.__int__ and its like read the C value of a subclass instance, whatever it overrides
    readers: dict[int, Any] = {
        id(int): int.__int__,
        id(float): float.__float__,
        id(str): str.__str__,
    }
    read = readers.get(id(base))
    return read(value) if read is not None else bytes.__getitem__(value, slice(None))


def _made_in_c(cls: type) -> bool:
    """Whether the class keeps a C structure of its own, which no dictionary shows.

    Static types do; of those on the heap, the ones that bring their own C constructor.
    """
    if not type_flags_of(cls) & _HEAP_TYPE:
        return True
    return type(type_dict_of(cls).get("__new__")) is types.BuiltinFunctionType


def _is_plain_c_type(value: Any, cls: type) -> bool:
    """Arrays of numbers: static C types whose elements hold no Python objects."""
    if type_flags_of(cls) & _HEAP_TYPE:
        return False
    if type_module_of(cls) == "numpy" and type_qualname_of(cls) == "ndarray":
        return str(value.dtype.kind) in "biufcSUMm"
    return type_module_of(cls) == "numpy" and type_qualname_of(cls) not in ("object_", "void")


def _b64(body: bytes) -> str:
    return binascii.b2a_base64(body, newline=False).decode("ascii")


def _class_path(cls: type) -> list[str]:
    return [type_module_of(cls), type_qualname_of(cls)]


def _class_path_text(cls: type) -> str:
    return ".".join(_class_path(cls))


def _resolvable(cls: type) -> bool:
    return _resolve(*_class_path(cls)) is cls


def _resolve(module: str, name: str) -> Any:
    """The object that `module` holds under a qualified name, by plain dictionary look-ups."""
    found: Any = sys.modules.get(module)
    if type(found) is not types.ModuleType:
        return None
    scope = types.ModuleType.__getattribute__(found, "__dict__")
    for part in name.split("."):
        found = scope.get(part)
        if issubclass(type(found), (staticmethod, classmethod)):
            found = found.__func__
        if not issubclass(type(found), type):
            scope = {}
        else:
            scope = type.__dict__["__dict__"].__get__(found)
    return found


def decode(text: str, modules: Any = None, cut: list[Any] | None = None) -> Any:
    """The value again. Imports the classes it names: for the sandbox only.

    `modules` may map recorded module names to others ("__main__" to the service's script); the
    containers that were cut are added to `cut`.
    Raises ValueError when a class is gone or the text is no recording.
    """
    from selfheal_agent.replaying import Decoder

    return Decoder(modules or {}, cut).decode(json.loads(text))
