"""Runs inputs close to the recorded one, in search of a second crash beside the first.

The same neighbours (`variation.changes`) are run with and without a patch, and only the
difference says something.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import repeating, variation
    from selfheal_engine.sandbox_validator.inside import replay as replaying
    from selfheal_engine.sandbox_validator.inside import request as requesting
else:
    import repeating
    import replay as replaying
    import request as requesting
    import variation

SECONDS_AT_MOST = 1.0
KEPT = ("ended", "exception", "families", "message", "frames", "status", "why")


def replay(step: replaying.Step, job: replaying.Job) -> replaying.Outcome:
    """How each neighbour ended, by a name that is the same whatever the patch."""
    began = time.monotonic()
    each: dict[str, replaying.Outcome] = {}
    for name, run in runs(step, job):
        if time.monotonic() - began > SECONDS_AT_MOST:
            break
        try:
            outcome = run()
        except BaseException as why:
            outcome = replaying.raised(why, job)
        each[name] = {key: outcome[key] for key in KEPT if key in outcome}
    return {"ended": "returned", "each": each}


def runs(
    step: replaying.Step, job: replaying.Job
) -> Iterator[tuple[str, Callable[[], replaying.Outcome]]]:
    """(name, how to run it) of each neighbour of the recorded call or request."""
    if step.get("method"):
        parts = {
            "query": dict(parse_qsl(step["query"], keep_blank_values=True)),
            "body": repeating.body_of(step),
        }
        for path, new in variation.changes(parts):
            sent = sent_as(step, variation.changed(parts, path, new))
            yield variation.named(path, new), partial(requesting.replay, sent, job)
        return
    function = replaying.resolve(step["module"], step["function"])

    def call(path: variation.Path, new: Any) -> replaying.Outcome:
        # decoded afresh each time: a call may change what it is given
        value = replaying.arguments(step["arguments"], function, step["module"])
        args, kwargs = variation.changed(list(value), path, new)
        replaying.settle(function(*args, **kwargs))
        return {"ended": "returned"}

    recorded = replaying.arguments(step["arguments"], function, step["module"])
    for path, new in variation.changes(list(recorded)):
        yield variation.named(path, new), partial(call, path, new)


def sent_as(step: replaying.Step, parts: dict[str, Any]) -> replaying.Step:
    sent = dict(step, query=urlencode(parts["query"]))
    if parts["body"] is not None:
        sent["body"] = base64.b64encode(json.dumps(parts["body"]).encode()).decode()
    return sent
