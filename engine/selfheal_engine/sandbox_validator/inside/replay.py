"""Imports the project and runs one recorded input; says how it ended as a plain dictionary.

    {"ended": "returned", "value": recording, "status": 200, ...}
    {"ended": "raised", "exception": "KeyError", "message": ..., "frames": [[file, line, name]]}
    {"ended": "unknown", "why": ...}        the recording cannot be brought back to life

Runs in a process of its own (see worker.py) with the project's interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import cover
else:
    import cover

Outcome = dict[str, Any]
Job = dict[str, Any]
Step = dict[str, Any]

KINDS = (
    "request",
    "statement",
    "growth",
    "stall",
    "interleaving",
    "iteration",
    "cost",
    "duel",
    "neighbours",
)
"""Steps that a module of the same name beside this one replays."""
MESSAGE_AT_MOST = 300
ITEMS_AT_MOST = 1000


class UnusableError(Exception):
    """The recording says nothing about the code: a name is gone or a stand-in was needed."""


def prepare(job: Job) -> Outcome:
    """Put the project on the path and import what the replays need."""
    step_aside()
    for path in reversed(job["import_paths"] or [job["root"]]):
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)
    os.chdir(job["root"])
    sys.argv = ["replay", *job.get("argv", ())]
    use_django(job["root"])
    for relative in job.get("compile", []):
        path = os.path.join(job["root"], relative)
        with open(path, "rb") as file:
            compile(file.read(), path, "exec", dont_inherit=True)
    if job.get("scripts"):
        scripts = import_here("scripts")
        for name in job["scripts"]:
            scripts.load(name, job["root"], whole=name in job.get("whole", ()))
    for name in job.get("modules", []):
        importlib.import_module(name)
    for name in job.get("preload", []):
        # what the replays will want; a failure shows in the replay that needs it
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    return {"ended": "returned", "libraries": libraries(job["root"])}


def libraries(root: str) -> list[str]:
    """Modules loaded now that are not the project's own, in the order of their import."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        own = file.startswith(root + os.sep) and "site-packages" not in file
        top = name.partition(".")[0]
        ours = file.startswith(os.path.dirname(os.path.abspath(__file__)))
        if not file or own or ours or top in ("__main__", "__mp_main__", "conftest"):
            continue
        if not file.startswith("/tmp/"):
            found.append(name)
    return found


def use_django(root: str) -> None:
    """Name Django's settings, when the project is one and the environment does not say."""
    manage = os.path.join(root, "manage.py")
    if "DJANGO_SETTINGS_MODULE" in os.environ or not os.path.exists(manage):
        return
    with open(manage, encoding="utf-8") as file:
        for line in file:
            parts = line.replace("'", '"').split('"')
            if "DJANGO_SETTINGS_MODULE" in parts and len(parts) >= 4:
                os.environ["DJANGO_SETTINGS_MODULE"] = parts[3]
                with contextlib.suppress(Exception):
                    importlib.import_module("django").setup()
                return


def run(step: Step, job: Job) -> Outcome:
    """Run one step; exceptions are the caller's to report."""
    watch = cover.Cover(job.get("cover") or {}, job["root"])
    if step["kind"] in ("batch", "call", "request", "statement", "stall", "iteration"):
        watch.start()
    try:
        outcome = run_kind(step, job)
    except BaseException as why:
        outcome = raised(why, job)
    outcome.setdefault("covered", watch.found())
    return outcome


def run_kind(step: Step, job: Job) -> Outcome:
    kind = step["kind"]
    if step.get("peer"):
        import_here("peers").stand_in(step["peer"], step.get("peer_status", 503))
        if step["peer"] == "silent":
            import_here("stall").hasten_limits()
    if kind == "batch":
        return {"ended": "returned", "each": {one["id"]: apart(one, job) for one in step["calls"]}}
    if kind == "call":
        return call(step, job)
    if kind not in KINDS:
        return {"ended": "unknown", "why": f"no way to replay a {kind}"}
    outcome: Outcome = import_here(kind).replay(step, job)
    return outcome


FOLDER = os.path.dirname(os.path.abspath(__file__))
_ours: dict[str, Any] = {}
"""Our modules by their plain names, once these are left to the project."""


def preload() -> None:
    """Load all that a replay may need of ours."""
    for name in (*KINDS, "scripts", "peers", "stall", "loops"):
        import_here(name)


def step_aside() -> None:
    """Leave plain names to the project, before any of it is imported.

    A `worker.py` or `request.py` of its own would not be found behind ours of that name.
    """
    preload()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if "." not in name and name != "__main__" and os.path.dirname(file) == FOLDER:
            _ours[name] = sys.modules.pop(name)
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != FOLDER]


def import_here(name: str) -> Any:
    """A sister module of this one, by whichever name this one goes."""
    if name in _ours:
        return _ours[name]
    package = __name__.rpartition(".")[0]
    return importlib.import_module(f"{package}.{name}" if package else name)


def apart(step: Step, job: Job) -> Outcome:
    """One call of a batch; what it raises is its own outcome."""
    try:
        return run_kind(step, job)
    except BaseException as why:
        return raised(why, job)


def call(step: Step, job: Job) -> Outcome:
    """Call a function of the project with its recorded arguments."""
    function = resolve(step["module"], step["function"])
    cut: list[Any] = []
    args, kwargs = arguments(step["arguments"], function, step["module"], cut)
    started = time.perf_counter()
    try:
        with in_application(step["module"]):
            value = settle(function(*args, **kwargs), runner(step))
    except BaseException as why:
        outcome = raised(why, job)
        outcome["seconds"] = time.perf_counter() - started
        return outcome
    seconds = time.perf_counter() - started
    text = recorded(value)
    if step.get("grows"):  # what piles up in them is what a patch is to change
        empty(cut)
    return {
        "ended": "returned",
        "value": text,
        "effects": recorded([args, kwargs]),
        "seconds": seconds,
    }


@contextlib.contextmanager
def in_application(module: str) -> Iterator[None]:
    """Inside a Flask application, as handlers run: the module's own, or an empty one.

    A blueprint's module holds none, and one that is made where the server starts is not found.
    """
    flask: Any = sys.modules.get("flask")
    if not hasattr(flask, "Flask") or flask.has_app_context():
        yield
        return
    held = list(vars(sys.modules[module]).values()) if module in sys.modules else []
    app = next((one for one in held if isinstance(one, flask.Flask)), None)
    with (app or flask.Flask(module)).app_context():
        yield


def resolve(module: str, qualified: str) -> Callable[..., Any]:
    """The function that a module holds under its qualified name."""
    try:
        found: Any = importlib.import_module(module)
    except ImportError as why:
        raise UnusableError(f"module {module} cannot be imported: {why}") from None
    for part in qualified.split("."):
        if part == "<locals>":
            raise UnusableError(f"{qualified} exists only inside another function")
        try:
            found = getattr(found, part)
        except AttributeError:
            raise UnusableError(f"{module}.{qualified} does not exist") from None
    function: Callable[..., Any] = found
    return function


def arguments(
    text: str, function: Callable[..., Any], module: str, cut: list[Any] | None = None
) -> tuple[list[Any], dict[str, Any]]:
    """(args, kwargs) of a recording; a bound class method gets no second `cls`.

    Containers that were recorded in part are added to `cut`.
    """
    value = decoded(text, module, cut)
    if isinstance(value, dict) and set(value) - {"globals"} == {"args", "kwargs"}:
        args, kwargs = list(value["args"]), dict(value["kwargs"])
        put_back(module, kept_by(value, module))
    elif isinstance(value, dict):
        args, kwargs = [], dict(value)
    elif (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], (tuple, list))
        and isinstance(value[1], dict)
    ):
        args, kwargs = list(value[0]), dict(value[1])
    elif isinstance(value, (tuple, list)):
        args, kwargs = list(value), {}
    else:
        raise UnusableError("the arguments were not recorded")
    if inspect.ismethod(function) and args and args[0] is function.__self__:
        args = args[1:]
    return args, kwargs


def kept_by(call: dict[str, Any], module: str) -> dict[str, Any]:
    """What the module kept, recorded with the call or, at its failure, on its own."""
    kept = call.get("globals") or {}
    return decoded(kept, module) if isinstance(kept, str) else kept


def put_back(module: str, kept: dict[str, Any]) -> None:
    """Give a module the values that it kept when the call was made.

    Containers are filled, not replaced: other modules hold them too. A patch that made one
    something else, a bounded one, say, has the last word about its kind.
    """
    scope = vars(sys.modules[module]) if module in sys.modules else {}
    for name, value in kept.items():
        now: Any = scope.get(name)
        if type(now) is not type(value):
            continue
        if isinstance(now, (dict, set)):
            now.clear()
            now.update(value)
        elif isinstance(now, (list, deque)):
            now.clear()
            now.extend(value)
        else:
            scope[name] = value


def restore(module: str, text: str) -> None:
    """Give a module what it kept by the recording of a call of it, where that can be read."""
    with contextlib.suppress(UnusableError):
        value = decoded(text, module)
        if isinstance(value, dict):
            put_back(module, kept_by(value, module))


def empty(cut: list[Any]) -> None:
    """Take everything out of containers, and out of queues."""
    for one in cut:
        names = [name for name in ("queue", "_queue") if hasattr(one, name)]
        held: Any = getattr(one, names[0]) if names else one
        if hasattr(held, "clear"):
            held.clear()


def decoded(text: str, module: str = "", cut: list[Any] | None = None) -> Any:
    from selfheal_agent import recording

    if not text:
        raise UnusableError("the arguments were not recorded")
    try:
        return recording.decode(text, {"__main__": module} if module else None, cut)
    except ValueError as why:
        raise UnusableError(str(why)) from None


def recorded(value: Any) -> str:
    """The value as text that two runs can be compared by, "" when it cannot be written."""
    from selfheal_agent import recording

    return "null" if value is None else recording.try_encode(value)


def settle(value: Any, run: Callable[[Any], Any] = asyncio.run) -> Any:
    """Wait for coroutines and run generators out, so that their faults show."""
    if inspect.iscoroutine(value):
        return run(value)
    if inspect.isasyncgen(value):
        return run(_collect(value))
    if inspect.isgenerator(value):
        return [item for item, _ in zip(value, range(ITEMS_AT_MOST))]
    return value


def runner(step: Step) -> Callable[[Any], Any]:
    """What runs a step's coroutines: calls of what grows often wait for what does not come."""
    quick: Callable[[Any], Any] = import_here("loops").run
    return quick if step.get("grows") else asyncio.run


async def _collect(generator: Any) -> list[Any]:
    found: list[Any] = []
    async for item in generator:
        found.append(item)
        if len(found) >= ITEMS_AT_MOST:
            break
    return found


def unusable(why: BaseException) -> bool:
    if isinstance(why, UnusableError) or type(why).__name__ == "StandInUsedError":
        return True
    return "StandIn" in text_of(why)  # "Object of type StandIn is not JSON serializable"


def raised(why: BaseException, job: Job) -> Outcome:
    """An exception as a record: its name as the probe writes it, and where it went through."""
    if unusable(why):
        return {"ended": "unknown", "why": text_of(why)}
    return {
        "ended": "raised",
        "exception": exception_name(type(why)),
        "families": [exception_name(cls) for cls in type(why).__mro__[:-1]],
        "message": text_of(why),
        "frames": frames(why.__traceback__, job["root"]),
    }


def exception_name(cls: type) -> str:
    module = getattr(cls, "__module__", "builtins")
    if module in ("builtins", "__main__"):
        return cls.__qualname__
    return f"{module}.{cls.__qualname__}"


def text_of(why: BaseException) -> str:
    try:
        return str(why)[:MESSAGE_AT_MOST]
    except Exception:  # a message that cannot be made is none
        return ""


def frames(traceback: TracebackType | None, root: str) -> list[list[Any]]:
    """[file relative to the project, line, function] of the project's own frames."""
    found: list[list[Any]] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        file = os.path.realpath(code.co_filename)
        if file.startswith(root + os.sep) and "site-packages" not in file:
            name = getattr(code, "co_qualname", code.co_name)
            found.append([os.path.relpath(file, root), traceback.tb_lineno, name])
        traceback = traceback.tb_next
    return found[-60:]
