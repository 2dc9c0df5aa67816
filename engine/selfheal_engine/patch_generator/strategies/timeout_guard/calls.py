"""Timeouts as an argument of the waiting call itself."""

from __future__ import annotations

from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.edits import (
    BODY,
    add_import,
    indented,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of
from selfheal_engine.patch_generator.strategies.timeout_guard.apis import (
    KINDS,
    STRATEGY,
    inside_try,
    timeout_value,
    unlimited_calls,
    with_timeout,
)


class LimitCall(Rule):
    """Gives the waiting call its own timeout argument."""

    name = "limit_call"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import requests


                def f(url):
                    return requests.get(url).json()  # <- here
                """,
            after="""
                import requests


                def f(url):
                    return requests.get(url, timeout=5).json()  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                import subprocess

                SCAN_TIMEOUT_S = 30


                def f(path):
                    return subprocess.run(['scan', path], timeout=None)  # <- here
                """,
            after="""
                import subprocess

                SCAN_TIMEOUT_S = 30


                def f(path):
                    return subprocess.run(['scan', path], timeout=SCAN_TIMEOUT_S)  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                import requests


                def f(url):
                    return requests.get(url, timeout=3)  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                def f(options):
                    return options.get('a')  # <- here
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.occurrence.kind != "stall" and "time" not in scene.exception.lower():
            return
        seconds = timeout_value(scene)
        for call, api in unlimited_calls(scene):
            name = called_name(call)
            if name == "acquire":
                continue  # its answer has to be looked at: see LimitLock
            yield scene.draft(
                with_timeout(call, api, seconds),
                title=f"wait at most {seconds} s for `{name}`",
                weight=1.2,
                explanation=f"`{name}` has no limit of its own; one silent peer holds the caller.",
            )


class LimitCallAndAnswer(Rule):
    """Gives the call a timeout and answers expiry as the project answers a failed upstream."""

    name = "limit_call_and_answer"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import requests


                class Unavailable(Exception):
                    status = 503


                def f(url):
                    answer = requests.get(url)  # <- here
                    return answer.json()
                """,
            after="""
                import requests


                class Unavailable(Exception):
                    status = 503


                def f(url):
                    try:
                        answer = requests.get(url, timeout=5)  # <- here
                    except requests.Timeout as error:
                        raise Unavailable("get took too long") from error
                    return answer.json()
                """,
            kind="stall",
        ),
        Example(
            before="""
                import queue


                class Busy(Exception):
                    '''The client gets 503.'''


                def f(jobs, replies):
                    try:
                        jobs.put(1, timeout=1)
                    except queue.Full:
                        raise Busy('no room') from None
                    return replies.get()  # <- here
                """,
            after="""
                import queue


                class Busy(Exception):
                    '''The client gets 503.'''


                def f(jobs, replies):
                    try:
                        jobs.put(1, timeout=1)
                    except queue.Full:
                        raise Busy('no room') from None
                    try:
                        return replies.get(timeout=1)  # <- here
                    except queue.Empty as error:
                        raise Busy('get took too long') from error
                """,
            kind="stall",
        ),
        Example(
            before="""
                import requests


                def f(url):
                    return requests.get(url)  # <- here
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.occurrence.kind != "stall" and "time" not in scene.exception.lower():
            return
        anchor = anchor_of(scene.file, scene.statement)
        seconds = timeout_value(scene)
        for call, api in unlimited_calls(scene):
            if not api.expired or anchor is None or inside_try(scene):
                continue
            name = called_name(call)
            for refusal in refusals(
                scene.conventions,
                scene.file,
                scene.function,
                (504, 503, 502),
                f"{name.replace('_', ' ')} took too long",
                ("timeout", "upstream", "unavailable"),
            ):
                code, clause = refusal.code, f"except {api.expired}:"
                if code.startswith("raise ") and "\n" not in code:
                    code, clause = f"{code} from error", f"except {api.expired} as error:"
                imports = [*refusal.imports, *([add_import(api.need)] if api.need else [])]
                yield scene.draft(
                    replace_statements([anchor], f"try:\n    {BODY}\n{clause}\n{indented(code)}\n"),
                    with_timeout(call, api, seconds),
                    *imports,
                    title=f"wait at most {seconds} s for `{name}`, then {refusal.title}",
                    weight=1.3 * refusal.weight / 1.4,
                )
