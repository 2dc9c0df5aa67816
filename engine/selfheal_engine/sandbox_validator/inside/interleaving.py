"""Runs functions in threads under a seeded scheduler that provokes what is rare.

Every opcode of the project's code may give way to another thread, by seed. Each seed runs in a
fork, so that no run sees what another left. Faults: threads that wait for each other, an
exception that no serial order raises, and a final state that no serial order gives (lost
updates). States that differ between two equal serial runs say nothing and are not compared.
"""

from __future__ import annotations

import inspect
import itertools
import json
import os
import random
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import replay as replaying
else:
    import replay as replaying

SEEDS = 40
CALLS_EACH = 3
THREADS = 4
STUCK_AFTER_S = 0.8
RUN_AT_MOST_S = 4.0
ORDERS_AT_MOST = 6
SEEDS_AT_LEAST, LOOKED_FOR_S = 12, 12.0
"""After so many seeds and wall seconds without a fault no more are tried: somebody waits."""

Work = tuple[Callable[..., Any], list[Any], dict[str, Any]]
Trace = Callable[[FrameType, str, Any], Any]


def replay(step: replaying.Step, job: replaying.Job) -> replaying.Outcome:
    """Try the seeds until one shows a fault; all must pass for a clean outcome."""
    workloads(step)  # unusable recordings show here, before any fork
    step = without_those_that_fail_alone(step, job)
    serial = [run_apart(step, job, order=order) for order in orders(step)]
    again = run_apart(step, job, order=0)
    if any(one.get("ended") != "returned" for one in [*serial, again]):
        return next(one for one in [*serial, again] if one.get("ended") != "returned")
    # where an exception is looked for, another race beside it is another matter
    comparable = not step.get("raises") and serial[0].get("state") == again.get("state")
    allowed = {str(one.get("state")) for one in serial}
    begun = time.monotonic()
    for seed in range(step.get("seeds", SEEDS)):
        if seed >= SEEDS_AT_LEAST and time.monotonic() - begun > LOOKED_FOR_S:
            break
        outcome = run_apart(step, job, seed=seed)
        if outcome["ended"] != "returned":
            outcome["fault"] = outcome.get("fault") or "running at once, it {}: {} {}".format(
                outcome["ended"], outcome.get("exception", ""), outcome.get("message", "")
            )
            return outcome
        if outcome.get("fault"):
            return outcome
        if comparable and str(outcome.get("state")) not in allowed:
            return {
                "ended": "returned",
                "fault": "running at once gives a state that no order one by one gives",
                "seed": seed,
            }
    return {"ended": "returned", "runs": step.get("seeds", SEEDS), "compared": comparable}


def orders(step: replaying.Step) -> range:
    count = len(step["functions"])
    return range(min(ORDERS_AT_MOST, max(1, count * (count + 1) // 2)))


def workloads(step: replaying.Step) -> list[Work]:
    """One workload for each thread; methods of one class share one object."""
    works: list[Work] = []
    shared: dict[type, Any] = {}
    for number, name in enumerate(step["functions"]):
        function = replaying.resolve(step["module"], name)
        text = (step["all_arguments"] + [""] * (number + 1))[number]
        if not text:
            goods = [g["arguments"] for g in step["goods"] if g["function"] == name]
            text = goods[0] if goods else ""
        if text:
            args, kwargs = replaying.arguments(text, function, step["module"])
        else:
            args, kwargs = bare_arguments(function, shared)
        if args and "." in name and type(args[0]).__module__ != "builtins":
            args[0] = shared.setdefault(type(args[0]), args[0])
        works.append((function, args, kwargs))
    rounds = max(1, -(-THREADS // len(works)))
    return [work for _ in range(rounds) for work in works]


def bare_arguments(
    function: Callable[..., Any], shared: dict[type, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments for a function of which none were recorded: an object that the others use or
    the project has, and for the rest values of the annotated kind, else texts.
    """
    needed = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    args: list[Any] = []
    owner = function.__qualname__.rpartition(".")[0]
    if owner and needed and needed[0].name == "self":
        args.append(receiver(replaying.resolve(function.__module__, owner), shared))
        needed = needed[1:]
    args += [guessed(parameter) for parameter in needed]
    return args, {}


def receiver(cls: Any, shared: dict[type, Any]) -> Any:
    """The object of a class that the others share, that a module holds, or a new one."""
    for module in list(sys.modules.values()) if cls not in shared else ():
        held = [one for one in list(vars(module).values()) if type(one) is cls]
        if held:
            shared[cls] = held[0]
            break
    if cls not in shared:
        try:
            shared[cls] = cls()
        except Exception as why:
            raise replaying.UnusableError(f"no object of {cls} was recorded: {why}") from None
    return shared[cls]


def guessed(parameter: inspect.Parameter) -> Any:
    kind = parameter.annotation
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
    return {"int": 1, "float": 1.0, "bytes": b"x", "list": [], "dict": {}, "bool": True}.get(
        name, parameter.name
    )


def without_those_that_fail_alone(step: replaying.Step, job: replaying.Job) -> replaying.Step:
    """The step without functions that were added for company and do not go with made-up input."""
    functions, texts = list(step["functions"]), list(step["all_arguments"])
    texts += [""] * (len(functions) - len(texts))
    recorded = {good["function"] for good in step["goods"]}
    kept = []
    for number, (name, text) in enumerate(zip(functions, texts)):
        if number and not text and name not in recorded:
            pair = {"functions": [functions[0], name], "all_arguments": [texts[0], ""]}
            if run_apart({**step, **pair}, job, order=0).get("ended") != "returned":
                continue
        kept.append(number)
    return {
        **step,
        "functions": [functions[number] for number in kept],
        "all_arguments": [texts[number] for number in kept],
    }


def run_apart(
    step: replaying.Step, job: replaying.Job, seed: int | None = None, order: int = 0
) -> replaying.Outcome:
    """One run in a fork: in threads with `seed`, else one after the other in `order`."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            outcome = at_once(step, job, seed) if seed is not None else serially(step, job, order)
        except BaseException as why:
            outcome = replaying.raised(why, job)
        content = json.dumps(outcome).encode()
        while content:
            content = content[os.write(write, content) :]
        os._exit(0)
    os.close(write)
    content = b""
    end = time.monotonic() + RUN_AT_MOST_S
    while select.select([read], [], [], max(0.0, end - time.monotonic()))[0]:
        chunk = os.read(read, 1 << 16)
        if not chunk:
            break
        content += chunk
    os.close(read)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        found: replaying.Outcome = json.loads(content.decode())
        return found
    except ValueError:
        return {"ended": "timeout", "fault": "the run did not come to an end"}


def serially(step: replaying.Step, job: replaying.Job, order: int) -> replaying.Outcome:
    """The same calls one by one, thread after thread, in one of several orders."""
    works = workloads(step)
    arranged = next(itertools.islice(itertools.permutations(works), order, None), tuple(works))
    for function, args, kwargs in arranged:
        for _ in range(CALLS_EACH):
            replaying.settle(function(*args, **kwargs))
    return {"ended": "returned", "state": state(step, works)}


def at_once(step: replaying.Step, job: replaying.Job, seed: int) -> replaying.Outcome:
    """All workloads in threads of their own, with the scheduler's hand on every opcode."""
    works = workloads(step)
    failures: list[replaying.Outcome] = []
    progress = [time.monotonic()]
    sys.setswitchinterval(1e-4)
    barrier = threading.Barrier(len(works))

    def body(number: int, work: Work) -> None:
        function, args, kwargs = work
        barrier.wait(5)
        sys.settrace(scheduler(random.Random(seed * 1009 + number), job["root"], progress))
        try:
            for _ in range(CALLS_EACH):
                replaying.settle(function(*args, **kwargs))
        except BaseException as why:
            failures.append(replaying.raised(why, job))
        finally:
            sys.settrace(None)

    threads = [
        threading.Thread(target=body, args=(number, work), daemon=True)
        for number, work in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.01)
        if time.monotonic() - progress[0] > STUCK_AFTER_S:
            stuck = sum(thread.is_alive() for thread in threads)
            words = f"{stuck} threads wait for each other"
            return {"ended": "returned", "fault": words, "seed": seed}
    if failures:
        return dict(failures[0], seed=seed)
    return {"ended": "returned", "state": state(step, works)}


def scheduler(chance: random.Random, root: str, progress: list[float]) -> Trace:
    """A trace function that gives way at random opcodes of the project's code."""
    often = chance.choice((0.02, 0.1, 0.3))

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            progress[0] = time.monotonic()
            if chance.random() < often:
                time.sleep(chance.choice((0.0, 0.0005, 0.002)))
        return local

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(root):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return local

    return trace


def state(step: replaying.Step, works: list[Work]) -> str:
    """What the calls left: the shared arguments and the module's own variables, as text."""
    module = sys.modules.get(step["module"])
    names: dict[str, str] = {}
    for name, value in sorted(vars(module).items() if module else ()):
        if name.startswith("__") or callable(value) or isinstance(value, ModuleType):
            continue
        names[name] = replaying.recorded(value)
    objects = [replaying.recorded([args, kwargs]) for _, args, kwargs in works]
    texts = [*names.values(), *objects]
    return json.dumps([sorted(names), [unordered(json.loads(text)) for text in texts]])


def unordered(node: Any) -> Any:
    """A recorded value without the order in which its parts came: threads may take any turn."""
    if isinstance(node, dict) and node.get("$") == "ref":
        return ["ref"]  # its number is the order of what it points to
    if isinstance(node, dict):
        return sorted(([key, unordered(value)] for key, value in node.items()), key=json.dumps)
    if isinstance(node, list):
        return sorted(map(unordered, node), key=json.dumps)
    return node
