"""Recordings brought back to life. Runs inside the sandbox, never in a service."""

from __future__ import annotations

import asyncio
import base64
import importlib
import pickle
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from typing import Any


class StandIn:
    """Takes the place of a value that could not be recorded.

    Its methods may be called, as those of a log or a connection are, and give stand-ins again.
    Nothing can be learned from it: whatever would need its value says so.
    """

    def __init__(self, type_name: str) -> None:
        object.__setattr__(self, "_selfheal_type", type_name)

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        return StandIn(f"{_described(self)}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return StandIn(f"{_described(self)}()")

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return None

    def __await__(self) -> Any:
        return StandIn(f"await {_described(self)}")
        yield  # what makes it a generator, which is what await wants

    def __repr__(self) -> str:
        return f"<StandIn for a {_described(self)}>"


def _described(value: StandIn) -> str:
    found: str = object.__getattribute__(value, "_selfheal_type")
    return found


class StandInUsedError(RuntimeError):
    """The replay needed something that was not recorded: it says nothing about the code."""


def _refusing(name: str) -> Any:
    def refuse(self: StandIn, *_: Any) -> Any:
        raise StandInUsedError(f"{name} of a {_described(self)}, which was not recorded")

    refuse.__name__ = name
    return refuse


_TELLING = (
    "bool len iter next aiter anext contains getitem setitem delitem missing reversed index int "
    "float complex str bytes format fspath hash eq ne lt le gt ge add radd sub rsub mul rmul "
    "matmul rmatmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow divmod rdivmod lshift "
    "rlshift rshift rrshift and rand xor rxor or ror neg pos abs invert round trunc floor ceil "
    "iadd isub imul itruediv ifloordiv imod iand ior ixor"
)
"""Special methods whose answer depends on the value."""
for _name in _TELLING.split():
    setattr(StandIn, f"__{_name}__", _refusing(f"__{_name}__"))


class Decoder:
    """One decoding; keeps the numbered objects that references point to."""

    def __init__(self, modules: Mapping[str, str], cut: list[Any] | None = None) -> None:
        self._modules = modules
        self._made: list[Any] = []
        self._cut = cut

    def decode(self, node: Any) -> Any:
        """The value of one node. Raises ValueError."""
        if isinstance(node, list):
            return self._fill_list(node)
        if not isinstance(node, dict):
            return node
        tag = node.get("$")
        reader = getattr(self, f"_read_{tag}", None)
        if reader is None:
            raise ValueError(f"not a recording: tag {tag!r}")
        value = reader(node)
        if "left_out" in node and self._cut is not None:
            self._cut.append(value)
        return value

    # leaves -------------------------------------------------------------------------------
    def _read_int(self, node: Any) -> Any:
        return int(node["v"], 16)

    def _read_float(self, node: Any) -> Any:
        return float(node["v"])

    def _read_bytes(self, node: Any) -> Any:
        return base64.b64decode(node["v"])

    def _read_bytearray(self, node: Any) -> Any:
        return bytearray(base64.b64decode(node["v"]))

    def _read_complex(self, node: Any) -> Any:
        return complex(*node["v"])

    def _read_name(self, node: Any) -> Any:
        return {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}[node["v"]]

    def _read_range(self, node: Any) -> Any:
        return range(*node["v"])

    def _read_module(self, node: Any) -> Any:
        return self._module(node["v"])

    def _read_class(self, node: Any) -> Any:
        return self._named(*node["v"])

    def _read_function(self, node: Any) -> Any:
        place = self._reserve()
        self._made[place] = self._named(*node["v"])
        return self._made[place]

    def _read_ref(self, node: Any) -> Any:
        return self._made[node["i"]]

    # containers ---------------------------------------------------------------------------
    def _reserve(self, value: Any = None) -> int:
        self._made.append(value)
        return len(self._made) - 1

    def _fill_list(self, node: list[Any]) -> Any:
        made: list[Any] = []
        self._reserve(made)
        made.extend(self.decode(item) for item in node)
        return made

    def _read_list(self, node: Any) -> Any:
        return self._fill_list(node["v"])

    def _immutable(self, node: Any, build: Any) -> Any:
        place = self._reserve()
        self._made[place] = build([self.decode(item) for item in node["v"]])
        return self._made[place]

    def _read_tuple(self, node: Any) -> Any:
        return self._immutable(node, tuple)

    def _read_frozenset(self, node: Any) -> Any:
        return self._immutable(node, frozenset)

    def _read_set(self, node: Any) -> Any:
        made: set[Any] = set()
        self._reserve(made)
        made.update(self.decode(item) for item in node["v"])
        return made

    def _read_deque(self, node: Any) -> Any:
        made: deque[Any] = deque(maxlen=node.get("n"))
        self._reserve(made)
        made.extend(self.decode(item) for item in node["v"])
        return made

    def _read_d(self, node: Any) -> Any:
        made: dict[str, Any] = {}
        self._reserve(made)
        for key, item in node["v"].items():
            made[key] = self.decode(item)
        return made

    def _fill_pairs(self, made: Any, pairs: Any) -> Any:
        for key, item in pairs:
            decoded = self.decode(key)
            dict.__setitem__(made, decoded, self.decode(item))
        return made

    def _read_dict(self, node: Any) -> Any:
        made: dict[Any, Any] = {}
        self._reserve(made)
        return self._fill_pairs(made, node["v"])

    def _read_OrderedDict(self, node: Any) -> Any:  # noqa: N802 - named after the tag
        made: OrderedDict[Any, Any] = OrderedDict()
        self._reserve(made)
        for key, item in node["v"]:
            decoded = self.decode(key)
            made[decoded] = self.decode(item)
        return made

    def _read_Counter(self, node: Any) -> Any:  # noqa: N802 - named after the tag
        made: Counter[Any] = Counter()
        self._reserve(made)
        return self._fill_pairs(made, node["v"])

    def _read_defaultdict(self, node: Any) -> Any:
        made: defaultdict[Any, Any] = defaultdict()
        self._reserve(made)
        made.default_factory = self.decode(node["f"])
        return self._fill_pairs(made, node["v"])

    def _read_method(self, node: Any) -> Any:
        place = self._reserve()
        function = self.decode(node["f"])
        self._made[place] = function.__get__(self.decode(node["o"]))
        return self._made[place]

    def _read_pickle(self, node: Any) -> Any:
        place = self._reserve()
        self._made[place] = pickle.loads(base64.b64decode(node["v"]))
        return self._made[place]

    def _read_standin(self, node: Any) -> Any:
        place = self._reserve()
        self._made[place] = StandIn(node["v"])
        return self._made[place]

    def _read_fresh(self, node: Any) -> Any:
        import logging

        makers: dict[str, Any] = {
            "lock": threading.Lock,
            "rlock": threading.RLock,
            "condition": threading.Condition,
            "event": threading.Event,
            "semaphore": threading.Semaphore,
            "local": threading.local,
            "logger": lambda: logging.getLogger("replay"),
        }
        kind, _, name = node["v"].rpartition(" ")
        place = self._reserve()
        self._made[place] = getattr(asyncio, name.capitalize())() if kind else makers[name]()
        return self._made[place]

    def _read_queue(self, node: Any) -> Any:
        place = self._reserve()
        made = self._made[place] = self._named(*node["c"])(node["n"])
        for item in node["v"]:
            made._put(self.decode(item))
        if hasattr(made, "unfinished_tasks"):
            made.unfinished_tasks = len(node["v"])
        else:
            made._unfinished_tasks = len(node["v"])
        return made

    # objects ------------------------------------------------------------------------------
    def _read_enum(self, node: Any) -> Any:
        place = self._reserve()
        self._made[place] = self._named(*node["c"])[node["v"]]
        return self._made[place]

    def _read_flags(self, node: Any) -> Any:
        place = self._reserve()
        self._made[place] = self._named(*node["c"])(self.decode(node["v"]))
        return self._made[place]

    def _read_object(self, node: Any) -> Any:
        cls = self._named(*node["c"])
        place = self._reserve()
        base = self.decode_items(node["base"]) if "base" in node else None
        if "args" in node:
            args = self.decode(node["args"])
            made = cls.__new__(cls)
            BaseException.__init__(made, *args)
        elif base is not None and issubclass(cls, (tuple, frozenset, int, float, str, bytes)):
            kind = next(k for k in (tuple, frozenset, int, float, str, bytes) if issubclass(cls, k))
            made = kind.__new__(cls, base)
        else:
            empty: Any = next((k for k in (dict, list, set, deque) if issubclass(cls, k)), object)
            try:
                made = empty.__new__(cls)
            except TypeError as why:
                raise ValueError(f"no empty {cls.__qualname__} can be made: {why}") from None
        self._made[place] = made
        self._fill_object(made, node, base)
        return made

    def decode_items(self, node: Any) -> Any:
        """Elements of a subclass of a built-in container, which take no number of their own."""
        return [self.decode(item) for item in node] if isinstance(node, list) else self.decode(node)

    def _fill_object(self, made: Any, node: Any, base: Any) -> None:
        if isinstance(made, list) and base is not None:
            list.extend(made, base)
        if isinstance(made, deque) and base is not None:
            deque.extend(made, base)
        if isinstance(made, set) and base is not None:
            set.update(made, base)
        if "items" in node:
            self._fill_pairs(made, node["items"])
        for key, item in node.get("state", {}).items():
            made.__dict__[key] = self.decode(item)
        for key, item in node.get("slots", {}).items():
            object.__setattr__(made, key, self.decode(item))

    def _named(self, module: str, name: str) -> Any:
        found: Any = self._module(module)
        try:
            for part in name.split("."):
                found = getattr(found, part)
        except AttributeError as why:
            raise ValueError(f"{module}.{name} does not exist any more") from why
        return found

    def _module(self, name: str) -> Any:
        try:
            return importlib.import_module(self._modules.get(name, name))
        except ImportError as why:
            raise ValueError(f"module {name} cannot be imported: {why}") from why
