"""Values that were kept before the failure: what a replay of them shows, and what it cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from selfheal_agent import recording
from selfheal_agent.values import picture_all
from selfheal_engine.model import Frame, Reproducer, Suspect
from tests.sandbox_validator.conftest import MakeShop, check

BOOK = """\
from datetime import datetime, timezone

QUEUE = []


def parse(stamp):
    return datetime.fromisoformat(stamp)


def add(stamp):
    QUEUE.append(parse(stamp))


def due(now=None):
    now = now or datetime(2030, 1, 1, tzinfo=timezone.utc)
    return [at for at in QUEUE if at <= now]


def first(at, now):
    return at <= now
"""
WORDS = "can't compare offset-naive and offset-aware datetimes"
NAIVE = datetime(2024, 1, 2, 10, 30)
AWARE = datetime(2024, 1, 3, tzinfo=UTC)
AT_BIRTH = BOOK.replace(
    "return datetime.fromisoformat(stamp)",
    "return datetime.fromisoformat(stamp).replace(tzinfo=timezone.utc)",
)
AT_USE = BOOK.replace(
    "if at <= now]", "if (at if at.tzinfo else at.replace(tzinfo=timezone.utc)) <= now]"
)
ELSEWHERE = BOOK.replace("QUEUE.append(parse(stamp))", "QUEUE.insert(0, parse(stamp))")


def fault(kind: str, function: str, line: int, arguments: str) -> Reproducer:
    return Reproducer(
        kind,  # type: ignore[arg-type]
        module="book",
        file="book.py",
        functions=(function,),
        arguments=(arguments,),
        exception="TypeError",
        message=WORDS,
        crash_file="book.py",
        crash_line=line,
        crash_function=function,
    )


def test_what_the_module_kept_is_put_back_and_what_made_it_is_not_refuted_by_it(
    make_shop: MakeShop,
) -> None:
    entry = recording.encode({"args": [], "kwargs": {}})
    text = recording.add_globals(entry, {"QUEUE": [NAIVE, AWARE]})
    reproducer = fault("call", "due", 16, text)
    shop = make_shop({"book.py": BOOK})
    occurrence = replace(
        shop.occurrence,
        frames=(Frame(str(shop.root / "book.py"), 16, "due", own=True),),
        good_calls=(),
    )
    maker = Suspect("book.py", 7, "parse", 0.6, "its value may come from here")
    diagnosis = replace(shop.diagnosis, reproducers=(reproducer,), suspects=(maker,))
    shop.validator.baseline(diagnosis, occurrence)
    at_birth, at_use, elsewhere = (
        replace(shop.candidate(text, "book.py", function), functions=(function,))
        for text, function in ((AT_BIRTH, "parse"), (AT_USE, "due"), (ELSEWHERE, "add"))
    )
    verdicts = shop.validator.validate(
        [at_birth, at_use, elsewhere], diagnosis, occurrence, lambda verdict: None
    )
    found = [check(verdict, "reproducer").status for verdict in verdicts]
    assert found == ["unknown", "passed", "failed"]


def test_a_statement_is_replayed_with_the_moments_that_were_captured(make_shop: MakeShop) -> None:
    values = dict(picture_all({"at": NAIVE, "now": AWARE}))
    shop = make_shop(
        {"book.py": BOOK}, reproducers=(fault("statement", "first", 20, json.dumps(values)),)
    )
    patch = BOOK.replace("return at <= now", "return at.replace(tzinfo=timezone.utc) <= now")
    good, bad = shop.judge(
        shop.candidate(patch, "book.py", "good"),
        shop.candidate(BOOK.replace("return at <= now", "return at < now"), "book.py", "bad"),
    )
    assert check(good, "reproducer").status == "passed"
    assert check(bad, "reproducer").status == "failed"


def test_a_value_that_was_captured_in_part_shows_nothing_by_an_error_of_its_own(
    make_shop: MakeShop,
) -> None:
    values = {"at": {"type_name": "Moment", "text": ""}, "now": {"type_name": "int", "text": "3"}}
    shop = make_shop(
        {"book.py": BOOK}, reproducers=(fault("statement", "first", 20, json.dumps(values)),)
    )
    [verdict] = shop.judge(shop.candidate(BOOK.replace("at <= now", "at < now"), "book.py"))
    assert check(verdict, "reproducer").status == "unknown"
