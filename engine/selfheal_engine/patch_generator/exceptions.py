"""Names an exception in an `except` clause as the file would: narrow, imported where needed."""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass

from selfheal_engine.patch_generator.answers import import_of, import_own
from selfheal_engine.patch_generator.edits import Edit, add_import
from selfheal_engine.patch_generator.rules import Scene

FAMILIES = {
    "requests": ("requests.RequestException", "requests"),
    "httpx": ("httpx.HTTPError", "httpx"),
    "urllib3": ("urllib3.exceptions.HTTPError", "urllib3"),
    "redis": ("redis.RedisError", "redis"),
    "aiohttp": ("aiohttp.ClientError", "aiohttp"),
    "sqlite3": ("sqlite3.Error", "sqlite3"),
}
"""The common base class by which callers of a client library catch its failures."""


@dataclass(frozen=True)
class Caught:
    """The expression behind `except`, with the imports it needs."""

    text: str
    imports: tuple[Edit, ...] = ()


def caught(scene: Scene, family: bool = False) -> Caught | None:
    """How to catch the scene's exception; with `family` its library's base class, if it has one.

    None where the class cannot be named, or is so broad that catching it would hide other bugs.
    """
    qualified = scene.occurrence.exception
    name = qualified.rpartition(".")[2]
    if name in ("Exception", "BaseException", "KeyboardInterrupt", "SystemExit", "MemoryError"):
        return None
    if hasattr(builtins, name) and qualified in (name, f"builtins.{name}"):
        return Caught(name)
    own = next((e for e in scene.conventions.error_classes if e.name == name), None)
    if own is not None:
        edit = import_own(scene.file, own.file, name, scene.conventions)
        return Caught(name, (edit,) if edit is not None else ())
    root = qualified.partition(".")[0]
    if family and root in FAMILIES:
        text, module = FAMILIES[root]
        return Caught(text, (add_import(f"import {module}"),))
    imported = import_of(scene.file, name)
    if imported:
        return Caught(name)
    if qualified in ("json.decoder.JSONDecodeError", "json.JSONDecodeError"):
        if _imports(scene, "json"):
            return Caught("json.JSONDecodeError")
        return Caught("ValueError")
    module = qualified.rpartition(".")[0]
    module = _PUBLIC.get(module, module)
    if not module or "<" in qualified:
        return None
    says_little = name in ("Error", "error")  # without its module before it
    if says_little or _imports(scene, module) or _imports(scene, module.partition(".")[0]):
        return Caught(f"{module}.{name}", (add_import(f"import {module}"),))
    return Caught(name, (add_import(f"from {module} import {name}"),))


_PUBLIC = {
    "requests.exceptions": "requests",
    "httpx._exceptions": "httpx",
    "redis.exceptions": "redis",
    "aiohttp.client_exceptions": "aiohttp",
    "aiohttp.http_exceptions": "aiohttp",
    "concurrent.futures._base": "concurrent.futures",
    "xml.etree.ElementTree": "xml.etree.ElementTree",
    "_queue": "queue",
    "decimal": "decimal",
    "werkzeug.exceptions": "werkzeug.exceptions",
}


def _imports(scene: Scene, module: str) -> bool:
    return any(
        isinstance(node, ast.Import) and any(a.name == module and not a.asname for a in node.names)
        for node in scene.file.tree.body
    )
