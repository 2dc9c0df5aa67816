"""Runs our integrations right after the module they belong to is imported.

The services' imports stay as they are: a finder at the front of sys.meta_path answers only for
the few modules that an integration waits for, and lets the usual finders do the work.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    Integration = Callable[[ModuleType], None]

_waiting: dict[str, list[Integration]] = {}
_half: list[tuple[Integration, ModuleType]] = []


def after_import(module: str, integration: Integration) -> None:
    """Call `integration(module)` once the module is loaded; now, when it already is."""
    loaded = sys.modules.get(module)
    if loaded is None:
        _waiting.setdefault(module, []).append(integration)
    elif _half_loaded(loaded):
        _half.append((integration, loaded))
    else:
        _run(integration, loaded)


def retry() -> None:
    """Integrate what was in the middle of its import when we came; called each second."""
    for item in [item for item in _half if not _half_loaded(item[1])]:
        _half.remove(item)
        _run(*item)


def _half_loaded(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def install() -> None:
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _run(integration: Integration, module: ModuleType) -> None:
    try:
        integration(module)
    except Exception as why:
        from selfheal_agent.notes import note

        note(f"integration of {module.__name__}: {type(why).__name__}: {why}")


_us = sys.modules[__name__.partition(".")[0]]


def _own_module(name: str) -> ModuleType | None:
    """A module of ours that somebody took out of sys.modules, as ddtrace does at its start.

    A second copy would count what nobody asks it for. Packages keep their modules as attributes.
    """
    found: Any = _us
    for part in name.split(".")[1:]:
        found = found.__dict__.get(part)
        if type(found) is not type(_us):
            return None
    kept: ModuleType | None = found if found.__name__ == name else None
    return kept


class _Finder:
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] == _us.__name__:
            kept = _own_module(name)
            return None if kept is None else type(kept.__spec__)(name, _Again(kept))  # type: ignore
        if name not in _waiting:
            return None
        for finder in sys.meta_path:
            if isinstance(finder, _Finder):
                continue
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None else None
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, name)
                return spec
        return None

    def invalidate_caches(self) -> None:
        """Nothing is cached here."""


class _Again:
    """Hands out a module that is loaded already."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: Any) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class _Loader:
    """The module's own loader, followed by the integrations."""

    def __init__(self, loader: Any, name: str) -> None:
        self._loader = loader
        self._name = name

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # the module must see its own loader, as importlib.resources and pickle do
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        for integration in _waiting.pop(self._name, ()):
            _run(integration, module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
