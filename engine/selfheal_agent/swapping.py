"""What a swap would change, found without running the module again.

The new text is compiled; of its module body only the definitions that are wanted, new imports
and new helpers (functions, classes and plain constants that the running module lacks) are
evaluated, in a namespace that falls back on the running module's globals.
"""

from __future__ import annotations

import ast
import builtins
from types import CodeType, FunctionType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

_KIND_FLAGS = 0x20 | 0x80 | 0x100 | 0x200


class UnswappableError(Exception):
    """Why the running functions cannot take the new code."""


class ModulePlan:
    """New function objects by qualified name, and the names to add to the module first."""

    def __init__(
        self,
        functions: dict[str, FunctionType],
        new_defaults: set[str],
        additions: list[ast.stmt],
        filename: str,
    ) -> None:
        self.functions = functions
        self.new_defaults = new_defaults
        self._additions = additions
        self._filename = filename

    def add_missing_names(self, module: ModuleType) -> None:
        """Run the new imports and helpers in the module. Raises UnswappableError."""
        for statement in self._additions:
            body = ast.Module(body=[statement], type_ignores=[])
            try:
                exec(compile(body, self._filename, "exec"), module.__dict__)
            except Exception as why:
                raise UnswappableError(
                    f"new code at line {statement.lineno} fails: {type(why).__name__}: {why}"
                ) from None


def plan_module(source: bytes, filename: str, module: ModuleType, wanted: list[str]) -> ModulePlan:
    """Plan for the wanted functions (all that differ when empty). Raises UnswappableError."""
    tree = ast.parse(source, filename)
    code = compile(tree, filename, "exec")
    definitions = _definitions(tree)
    new_codes = _codes(code)
    additions = _additions(tree, module)
    added = {name for statement in additions for name in _bound_names(statement)}
    names = [name for name in wanted if name in definitions] if wanted else sorted(definitions)
    missing = [name for name in wanted if name not in definitions]
    if missing:
        raise UnswappableError(f"{missing[0]} is not defined in the new file")
    functions: dict[str, FunctionType] = {}
    new_defaults: set[str] = set()
    from selfheal_agent import good_calls, swap

    for name in names:
        if name.split(".")[0] in added:
            continue
        live = swap.named_functions(module, name)
        new_code = new_codes.get(name)
        if new_code is None:
            raise UnswappableError(f"{name} is defined more than once")
        if live and not wanted and same_code(good_calls.original_code(live[0]), new_code):
            continue
        if not live and "<locals>" not in name:
            if not wanted:
                continue
            raise UnswappableError(f"{name} is not found in the running module")
        _check_globals(new_code, module, added, name)
        function = _bare_function(new_code, module)
        node = definitions[name]
        if live:
            _set_defaults(function, live[0], node, module, filename, new_defaults, name)
        functions[name] = function
    return ModulePlan(functions, new_defaults, additions, filename)


def _definitions(tree: ast.Module) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    found: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found[prefix + node.name] = node
            elif isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, (ast.If, ast.Try, ast.With)):
                for part in ("body", "orelse", "finalbody"):
                    visit(getattr(node, part, []), prefix)
                for handler in getattr(node, "handlers", []):
                    visit(handler.body, prefix)

    visit(tree.body, "")
    return found


def _codes(code: CodeType, prefix: str = "") -> dict[str, CodeType]:
    found: dict[str, CodeType] = {}
    repeated: set[str] = set()
    for const in code.co_consts:
        if isinstance(const, CodeType):
            name = prefix + const.co_name
            if name in found:
                repeated.add(name)
            found[name] = const
            is_class = not const.co_flags & 0x02  # CO_NEWLOCALS is set for functions only
            found.update(_codes(const, name + ("." if is_class else ".<locals>.")))
    # a property's getter and setter, or branches of an if: which one is meant cannot be told
    return {name: found[name] for name in found if name not in repeated}


def same_code(old: CodeType, new: CodeType) -> bool:
    """Whether two codes do the same, wherever they stand in the file."""
    if (old.co_code, old.co_names, old.co_varnames, old.co_freevars, old.co_cellvars) != (
        new.co_code,
        new.co_names,
        new.co_varnames,
        new.co_freevars,
        new.co_cellvars,
    ) or len(old.co_consts) != len(new.co_consts):
        return False
    for mine, other in zip(old.co_consts, new.co_consts):
        if isinstance(mine, CodeType) and isinstance(other, CodeType):
            if not same_code(mine, other):
                return False
        elif type(mine) is not type(other) or repr(mine) != repr(other):
            return False
    return True


def check_same_shape(old: FunctionType, new: FunctionType, name: str) -> None:
    """Raises UnswappableError where a live function cannot take the new code."""
    from selfheal_agent.good_calls import original_code

    before, after = original_code(old), new.__code__
    if before.co_freevars != after.co_freevars:
        raise UnswappableError(f"{name} closes over other variables than before")
    if before.co_flags & _KIND_FLAGS != after.co_flags & _KIND_FLAGS:
        raise UnswappableError(f"{name} changes between function, generator and coroutine")


def _bare_function(code: CodeType, module: ModuleType) -> FunctionType:
    from types import CellType

    cells = tuple(CellType() for _ in code.co_freevars)
    return FunctionType(code, module.__dict__, code.co_name, None, cells or None)


def _set_defaults(
    function: FunctionType,
    live: FunctionType,
    node: ast.FunctionDef | ast.AsyncFunctionDef,
    module: ModuleType,
    filename: str,
    new_defaults: set[str],
    name: str,
) -> None:
    """New defaults are evaluated only when their number changed or they are plain constants."""
    arguments = node.args
    count = len(live.__defaults__ or ())
    keyword = [d for d in arguments.kw_defaults if d is not None]
    constant = all(_is_constant(d) for d in [*arguments.defaults, *keyword])
    same_number = count == len(arguments.defaults) and len(live.__kwdefaults__ or ()) == len(
        keyword
    )
    if same_number and not constant:
        return
    scope = module.__dict__

    def value(expression: ast.expr) -> Any:
        try:
            return eval(compile(ast.Expression(expression), filename, "eval"), scope)
        except Exception as why:
            raise UnswappableError(f"a default of {name} fails: {type(why).__name__}") from None

    function.__defaults__ = tuple(value(d) for d in arguments.defaults) or None
    function.__kwdefaults__ = {
        argument.arg: value(d)
        for argument, d in zip(arguments.kwonlyargs, arguments.kw_defaults)
        if d is not None
    } or None
    new_defaults.add(name)


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return _is_constant(node.operand)
    if isinstance(node, ast.Tuple):
        return all(_is_constant(item) for item in node.elts)
    return isinstance(node, ast.Constant)


def _check_globals(code: CodeType, module: ModuleType, added: set[str], name: str) -> None:
    import dis

    known = module.__dict__
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            wanted = step.argval
            if wanted not in known and wanted not in added and not hasattr(builtins, wanted):
                raise UnswappableError(f"{name} uses the name {wanted}, which does not exist")
    for const in code.co_consts:
        if isinstance(const, CodeType):
            _check_globals(const, module, added, name)


def _additions(tree: ast.Module, module: ModuleType) -> list[ast.stmt]:
    """Top-level imports, definitions and constants that bind a name the module lacks."""
    found: list[ast.stmt] = []
    for node in tree.body:
        names = _bound_names(node)
        if names and any(name not in module.__dict__ for name in names):
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                continue
            found.append(node)
    return found


def _bound_names(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(a.asname or a.name).split(".")[0] for a in node.names if a.name != "*"}
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {t.id for t in node.targets if isinstance(t, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        return {node.target.id}
    return set()
