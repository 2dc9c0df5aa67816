"""Recorded inputs that can be sent again and again: those that leave something behind are found.

Of several recorded requests or calls often one kind only leaks: the one that leaves early, the
one with a header. So each input is tried alone first, as it was recorded and with its leaves
varied, and the ones after which most is held are repeated. What runs out in the end makes an
input that went well end badly; that is a fault as well, and shows where nothing can be counted.
"""

from __future__ import annotations

import base64
import inspect
import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import connection as connecting
    from selfheal_engine.sandbox_validator.inside import loops, variation
    from selfheal_engine.sandbox_validator.inside import replay as replaying
    from selfheal_engine.sandbox_validator.inside import request as requesting
else:
    import connection as connecting
    import loops
    import replay as replaying
    import request as requesting
    import variation

INPUTS_AT_MOST = 20
TRIES = 16
"""Repetitions that tell whether an input leaves something behind."""
TRYING_S = 0.15
"""No input is tried for longer than this ..."""
ALL_TRYING_S = 2.0
"""... and all together no longer than this; those that are left are repeated too."""
SURE = 0.5
"""So many descriptors, threads or children a call are no accident."""
BYTES = 48.0
BESIDE = 0.1
"""What leaves less than this share of what another input leaves is not what was reported: new
keys that only repetition makes up pile up somewhere, too."""
CHOSEN = 4
COPIED_DEPTH = 6
ENDINGS = ("close", "stop", "shutdown", "dispose", "disconnect", "finish")
"""Methods by which an object is done with."""

Run = Callable[[Any], str]
"""Sends a value once and says how that ended: "" well, "status 404", the name of an exception."""
Held = Callable[[], "dict[str, float]"]


class WorseError(Exception):
    """An input ends badly that ended otherwise when it was sent first."""


class Input:
    """One recorded input."""

    def __init__(self, value: Any, run: Run) -> None:
        self._value = value
        self._run = run
        self.ending = self._send(value)
        """How it ended the first time."""
        self.ways = ways_of(self._value, self._variable())
        """Leaves that are varied together; the first way varies none."""
        again = self._send(value)
        self._still_goes(again)
        self._steady = again == self.ending
        """Sending it changes nothing that it depends on, as creating something twice would."""

    def _send(self, value: Any) -> str:
        return self._run(copied(value))

    def _variable(self) -> list[variation.Path]:
        def try_one(value: Any) -> None:
            ending = self._send(value)
            if ending != self.ending:
                self._still_goes(ending)
                raise ValueError(f"it ends in {ending}")

        return leaves_that_go(self._value, try_one)

    def repeat(self, number: int, way: int) -> None:
        """Send it once more. Raises WorseError when it fails now and did not at first."""
        self._still_goes(self._send(variation.varied(self._value, self.ways[way], number)))

    def ends_as_at_first(self) -> None:
        """Raises WorseError where an orderly answer hides that nothing is left to take."""
        ending = self._send(self._value)
        if self._steady and ending != self.ending:
            first, now = self.ending or "well", ending or "well"
            raise WorseError(f"the same input ends in {now} after a while, it ended in {first}")

    def _still_goes(self, ending: str) -> None:
        """Other input may well fail; the recorded one may not."""
        if ending == self.ending or not is_bad(ending):
            return
        again = self._send(self._value)
        if again != self.ending and is_bad(again):
            first = f"{self.ending} at first" if self.ending else "well at first"
            raise WorseError(f"the same input ends in {again} after a while, it ended {first}")


def ways_of(value: Any, leaves: list[variation.Path]) -> list[list[variation.Path]]:
    """None, the words alone, all: a number that is varied may be a size and not a key."""
    words = [path for path in leaves if not variation.is_number(variation.at(value, path))]
    return [[], *([words] if words else []), *([leaves] if len(leaves) > len(words) else [])]


def is_bad(ending: str) -> bool:
    return (bool(ending) and not ending.startswith("status ")) or ending.startswith("status 5")


def copied(value: Any, depth: int = 0) -> Any:
    """Built-in containers anew, so that what a call puts into its arguments is not kept by us."""
    if depth < COPIED_DEPTH:
        if type(value) is dict:
            return {key: copied(item, depth + 1) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(copied(item, depth + 1) for item in value)
        if type(value) is set:
            return set(value)
    return value


def leaves_that_go(value: Any, try_one: Callable[[Any], None]) -> list[variation.Path]:
    """The leaves that can be changed while the call ends as it did."""
    good = []
    for path in variation.leaves(value):
        try:
            try_one(variation.varied(value, [path], 3))
        except WorseError:
            raise
        except Exception:  # this leaf must stay as it is
            continue
        good.append(path)
    if good:
        try:
            try_one(variation.varied(value, good, 5))
        except WorseError:
            raise
        except Exception:  # together they do not go: the first alone is enough
            return good[:1]
    return good


# ---------------------------------------------------------------- which of them
Choice = tuple[int, int]
"""(position of the input, position of its way)."""


def chosen(inputs: list[Input], held: Held) -> list[Choice]:
    """The inputs, each in the way, after which most is held."""
    began = time.process_time()
    sure: list[Choice] = []
    some: list[tuple[float, Choice]] = []
    untried: list[Choice] = []
    for position, one in enumerate(inputs):
        for way in [*range(1, len(one.ways)), 0]:
            choice = (position, way)
            if way > 1 and (position, 1) in (*untried, *(known for _, known in some)):
                continue  # new words are enough: numbers grow, and so would what is kept
            if time.process_time() - began > ALL_TRYING_S:
                untried.append(choice)
                continue
            left = left_by(one, way, held, first=100 * (position + 1))
            if any(left[what] >= SURE for what in left if "bytes" not in what):
                sure.append(choice)
            elif left["bytes"] >= BYTES:
                some.append((left["bytes"], choice))
    if sure:
        return sure
    # many small remains are the allocator's own; what leaks stands out
    most = max(some, default=(0.0, (0, 0)))[0]
    standing_out = [(left, choice) for left, choice in some if left >= BESIDE * most]
    found = [choice for _, choice in sorted(standing_out, reverse=True)[:CHOSEN]] + untried
    return found or [(position, len(one.ways) - 1) for position, one in enumerate(inputs)]


def left_by(one: Input, way: int, held: Held, first: int) -> dict[str, float]:
    """What stays behind after each repetition of one input; numbered from `first` on."""
    for number in range(3):  # warm caches, lazy imports, first-use tables
        one.repeat(first + number, way)
    before, began, count = held(), time.monotonic(), 0
    while count < TRIES and (count < 4 or time.monotonic() - began < TRYING_S):
        one.repeat(first + 10 + count, way)
        count += 1
    after = held()
    return {what: (after[what] - before[what]) / count for what in before}


# ---------------------------------------------------------------- where they come from
def inputs_of(step: replaying.Step, job: replaying.Job) -> list[Input]:
    """The recorded connections or requests, else good calls of the function or good exchanges."""
    if step.get("connections"):
        return connections_of(step["connections"])
    if step.get("method"):
        return requests_of([step, *step.get("good_requests", [])])
    try:
        return calls_of(step)
    except replaying.UnusableError:
        if step.get("good_requests"):
            return requests_of(step["good_requests"])
        raise


def connections_of(steps: list[dict[str, Any]]) -> list[Input]:
    """The connections that can be served again. Raises when none can be.

    One that is refused by an exception is kept: whatever leaks, leaks there.
    """
    found: list[Input] = []
    senders: dict[str, Run] = {}
    for step in steps[:INPUTS_AT_MOST]:
        whose = json.dumps([step[part] for part in ("way", "module", "function")])
        try:
            # what all connections share is the same for them all: what it holds must add up
            if whose not in senders:
                senders[whose] = connecting.sender(step)
            found.append(Input(base64.b64decode(step["sent"]), senders[whose]))
        except replaying.UnusableError as why:
            missing = why
    if not found:
        raise missing
    return found


def calls_of(step: replaying.Step) -> list[Input]:
    """The function with each recorded input."""
    function = replaying.resolve(step["module"], step["function"])
    texts = [text for text in step.get("all_arguments", []) if text]
    texts += [good["arguments"] for good in step["goods"] if good["function"] == step["function"]]
    values: list[list[Any]] = []
    for text in list(dict.fromkeys(texts))[:INPUTS_AT_MOST]:
        cut: list[Any] = []
        args, kwargs = replaying.arguments(text, function, step["module"], cut)
        replaying.empty(cut)  # what has piled up already is no patch's to clear away
        values.append([args, kwargs])
    if not values:
        if needs_arguments(function):
            raise replaying.UnusableError("no good call of the function was recorded")
        values.append([[], {}])
    # `self` and other objects are decoded once and shared: what they hold must add up
    for value in values[1:]:
        if value[0] and values[0][0] and is_receiver(value[0][0], values[0][0][0]):
            value[0][0] = values[0][0][0]

    ends = ending_of(step) if step["function"].endswith(".__init__") else ""

    def run(value: Any) -> str:
        try:
            replaying.settle(function(*value[0], **value[1]), loops.run)
            if ends and value[0]:
                replaying.settle(getattr(value[0][0], ends)(), loops.run)
        except Exception as why:
            if replaying.unusable(why):
                raise
            return replaying.exception_name(type(why))
        return ""

    return [Input(value, run) for value in values]


def ending_of(step: replaying.Step) -> str:
    """The method by which the module's own code ends what the constructor makes; "" for none.

    What is made and never ended stays, whatever its end would clear away.
    """
    owner = replaying.resolve(step["module"], step["function"].rpartition(".")[0])
    try:
        text = inspect.getsource(sys.modules[step["module"]])
    except OSError:
        return ""
    for name in ENDINGS:
        ended = text.count(f".{name}()") > text.count(f"self.{name}()") + text.count(
            f"super().{name}()"
        )
        if ended and callable(getattr(owner, name, None)):
            return name
    return ""


def needs_arguments(function: Callable[..., Any]) -> bool:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(
        parameter.default is parameter.empty and parameter.kind in kinds
        for parameter in inspect.signature(function).parameters.values()
    )


def is_receiver(one: Any, other: Any) -> bool:
    plain = (str, int, float, dict, list, tuple, type(None))
    return type(one) is type(other) and not isinstance(one, plain)


def requests_of(steps: list[replaying.Step]) -> list[Input]:
    """The requests that the application answers without a failure. Raises when none is."""
    app = requesting.load(steps[0]["app"])
    found: list[Input] = []
    for step in different(steps)[:INPUTS_AT_MOST]:
        value = {
            "query": dict(parse_qsl(step["query"], keep_blank_values=True)),
            "path": step["path"].split("/"),
            "body": body_of(step),
        }
        one = Input(value, sender(app, step))
        if not is_bad(one.ending):
            found.append(one)
        worst = one.ending
    if not found:
        raise replaying.UnusableError(f"the request is answered with {worst}")
    return found


def different(steps: list[replaying.Step]) -> list[replaying.Step]:
    """Each request once: what the first has left behind, its like finds there.

    Another header is another request: who asks whether something has changed may be who leaks.
    """
    found: dict[str, replaying.Step] = {}
    for step in steps:
        parts = [step[part] for part in ("method", "path", "query", "body", "headers")]
        found.setdefault(json.dumps(parts), step)
    return list(found.values())


def sender(app: Any, step: replaying.Step) -> Run:
    def run(parts: Any) -> str:
        changed = dict(step, query=urlencode(parts["query"]), path="/".join(parts["path"]))
        if parts["body"] is not None:
            changed["body"] = base64.b64encode(json.dumps(parts["body"]).encode()).decode()
        try:
            return f"status {requesting.serve(app, changed, loops.run)[0]}"
        except Exception as why:
            return replaying.exception_name(type(why))

    return run


def body_of(step: replaying.Step) -> Any:
    """The JSON body, None when there is none or it is of another kind."""
    try:
        return json.loads(base64.b64decode(step["body"]).decode())
    except ValueError:
        return None
