"""How a patch treats errors: swallowed, caught too widely, or with their cause cut off."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.reflection_engine.change import Change, called_name
from selfheal_engine.reflection_engine.rule import Finding

_TELLING = frozenset(
    {
        "debug",
        "info",
        "warning",
        "error",
        "exception",
        "critical",
        "log",
        "warn",
        "capture_exception",
    }
)
_WIDE = ("Exception", "BaseException")
_LONG_TRY = 6


def _handlers(change: Change) -> Iterator[ast.ExceptHandler]:
    for node in change.new_nodes():
        if isinstance(node, ast.ExceptHandler):
            yield node


class SwallowedError:
    """A handler that neither raises, nor tells, nor uses the error, nor gives a value."""

    name = "swallowed_error"
    weight = 1.2
    VALID = (
        (
            "def f(x):\n    return g(x)\n",
            "def f(x):\n    try:\n        return g(x)\n    except KeyError:\n        return None\n",
        ),
        (
            "def f(x):\n    g(x)\n",
            "def f(x):\n    try:\n        g(x)\n    except KeyError as why:\n"
            "        log.warning('no x: %s', why)\n",
        ),
    )
    INVALID = (
        (
            "def f(x):\n    g(x)\n",
            "def f(x):\n    try:\n        g(x)\n    except KeyError:\n        pass\n",
        ),
        (
            "for x in xs:\n    g(x)\n",
            "for x in xs:\n    try:\n        g(x)\n    except KeyError:\n        continue\n",
        ),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for handler in _handlers(change):
            if all(isinstance(part, ast.Pass | ast.Continue | ast.Break) for part in handler.body):
                yield handler.lineno, "the error is swallowed: nobody will ever hear of it"


class BroadExcept:
    """`except Exception` or wider where the fault has a name."""

    name = "broad_except"
    weight = 0.7
    VALID = (
        ("f()\n", "try:\n    f()\nexcept KeyError:\n    g()\n"),
        ("f()\n", "try:\n    f()\nexcept Exception:\n    undo()\n    raise\n"),
    )
    INVALID = (
        ("f()\n", "try:\n    f()\nexcept Exception:\n    g()\n"),
        ("f()\n", "try:\n    f()\nexcept:\n    g()\n"),
        ("f()\n", "try:\n    f()\nexcept (ValueError, Exception):\n    g()\n"),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for handler in _handlers(change):
            kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            wide = any(k is None or (isinstance(k, ast.Name) and k.id in _WIDE) for k in kinds)
            last = handler.body[-1]
            if wide and not (isinstance(last, ast.Raise) and last.exc is None):
                yield handler.lineno, "catches more than the error at hand, and so hides other bugs"


class WideTry:
    """A new `try` around much more than the statement that fails."""

    name = "wide_try"
    weight = 0.4
    VALID = (("a()\nb()\n", "try:\n    a()\nexcept OSError:\n    c()\nb()\n"),)
    INVALID = (
        (
            "a()\n" * 7,
            "try:\n" + "    a()\n" * 7 + "except OSError:\n    c()\n",
        ),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for node in change.new_nodes():
            if isinstance(node, ast.Try) and node.handlers and len(node.body) > _LONG_TRY:
                text = f"the `try` covers {len(node.body)} statements: which one may fail?"
                yield node.lineno, text


class LostCause:
    """Raising another exception in a handler without saying where it comes from."""

    name = "lost_cause"
    weight = 0.2
    VALID = (
        ("f()\n", "try:\n    f()\nexcept KeyError as why:\n    raise Refused('x') from why\n"),
        ("f()\n", "try:\n    f()\nexcept KeyError:\n    raise Refused('x') from None\n"),
    )
    INVALID = (("f()\n", "try:\n    f()\nexcept KeyError:\n    raise Refused('x')\n"),)

    def findings(self, change: Change) -> Iterator[Finding]:
        for handler in _handlers(change):
            for node in ast.walk(handler):
                if isinstance(node, ast.Raise) and node.exc is not None and node.cause is None:
                    yield node.lineno, "raised without `from`: say whether the cause belongs to it"


def tells(body: list[ast.stmt]) -> bool:
    """Whether a block logs or raises."""
    return any(
        isinstance(node, ast.Raise)
        or (isinstance(node, ast.Call) and called_name(node) in _TELLING)
        for part in body
        for node in ast.walk(part)
    )
