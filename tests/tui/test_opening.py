"""From the first key to the first sample: the frame, the engine behind it, the picker."""

from __future__ import annotations

import gc
import io
import threading

import pytest
from rich.color import Color, ColorSystem
from textual.widgets import Input

from selfheal_engine.config import Settings
from selfheal_engine.errors import ConfigError, SelfhealError, TargetError
from selfheal_engine.model import HealthCause, HealthScore, Target
from selfheal_engine.sources.discovery import DiscoveredService
from selfheal_engine.sources.glance import Glance
from selfheal_tui import first_frame as first_frame_module
from selfheal_tui.app import SelfhealApp
from selfheal_tui.first_frame import first_frame, frame
from selfheal_tui.opening import OpeningEngine
from selfheal_tui.screens.picker import Picker, ServiceList, typed_target
from selfheal_tui.themed_app import needs_plain_colours
from selfheal_tui.themes import DARK, role_variables
from tests.tui.fake_engine import FakeEngine, failing
from tests.tui.screens import WIDE, Session


class Closing(FakeEngine):
    """A fake engine that remembers how it was stopped."""

    stopped: bool | None = None

    def stop(self, stop_service: bool | None = None) -> None:
        self.stopped = bool(stop_service)


# ------------------------------------------------------------ the engine behind the screen
async def test_the_screen_stands_before_the_engine_does() -> None:
    engine, may_open = Closing(), threading.Event()

    def factory() -> Closing:
        assert may_open.wait(20)
        return engine

    opening = OpeningEngine(factory)
    app = SelfhealApp(opening, Settings(bell=False))
    async with app.run_test(size=WIDE) as pilot:
        session = Session(app, engine, pilot)
        await session.sees("opening the service …")
        with pytest.raises(SelfhealError, match="still being opened"):
            opening.history()
        may_open.set()
        await session.sees("TypeError, checkout.py:14")
        engine.publish(failing())
        assert engine.subscribers == 1
        await session.do("dashboard.approve")
        await session.press("y")
        await session.asked("approve", "i12", "c1")
    assert engine.subscribers == 0
    opening.stop(stop_service=True)
    assert engine.stopped is True


async def test_collecting_that_was_put_off_begins_with_the_first_paint() -> None:
    before = gc.get_freeze_count()
    gc.disable()
    try:
        app = SelfhealApp(FakeEngine(), Settings(bell=False))
        async with app.run_test(size=WIDE) as pilot:
            await Session(app, FakeEngine(), pilot).until(gc.isenabled)
            assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
        gc.enable()


async def test_an_engine_that_cannot_be_opened_ends_the_app_with_its_reason() -> None:
    def factory() -> Closing:
        raise TargetError("port 8000 is in use: stop what listens there")

    opening = OpeningEngine(factory)
    app = SelfhealApp(opening, Settings(bell=False))
    async with app.run_test(size=WIDE) as pilot:
        session = Session(app, FakeEngine(), pilot)
        await session.until(lambda: app.return_value == 2)
    opening.stop()
    assert "port 8000 is in use" in str(opening.problem)


def test_stopping_waits_for_an_engine_that_is_just_being_opened() -> None:
    engine, opened = Closing(), threading.Event()
    opening = OpeningEngine(lambda: engine)
    leave = opening.subscribe(lambda _news: None)
    opening.open(opened.set)
    opening.stop(stop_service=False)
    assert opened.is_set()
    assert engine.stopped is False
    leave()
    assert engine.subscribers == 0


# ------------------------------------------------------------ the first frame
@pytest.mark.parametrize(("columns", "rows"), [(120, 40), (80, 24), (40, 10), (200, 60), (3, 1)])
def test_the_first_frame_stays_inside_the_terminal(columns: int, rows: int) -> None:
    drawn = frame(columns, rows, "opening gunicorn …", {})
    lines = drawn.removesuffix("\x1b[0m").split("\x1b[")[1:]
    assert len(lines) == max(rows, 1)
    for line in lines:
        assert len(line.partition("H")[2]) <= columns


def test_the_first_frame_has_colours_only_where_they_can_be_shown() -> None:
    assert "38;2;" in frame(120, 40, "x", {"COLORTERM": "truecolor"})
    assert "38;2;" not in frame(120, 40, "x", {})
    assert "38;2;" not in frame(120, 40, "x", {"COLORTERM": "truecolor", "NO_COLOR": "1"})
    assert "38;5;" in frame(120, 40, "x", {"TERM": "screen-256color"})
    assert "48;" not in frame(120, 40, "x", {"TERM": "xterm"}).replace("48;1H", "")


def test_the_first_frame_is_painted_in_the_themes_own_colours() -> None:
    roles = role_variables(DARK)
    shades = {
        first_frame_module.GROUND: DARK.background,
        first_frame_module.BAR: DARK.surface,
        first_frame_module.FRAME: roles["role-frame"],
        first_frame_module.TITLE: roles["role-muted"],
    }
    for (rgb, nearest), shade in shades.items():
        colour = Color.parse(str(shade))
        assert rgb == ";".join(map(str, colour.get_truecolor()))
        assert nearest == str(colour.downgrade(ColorSystem.EIGHT_BIT).number)


def test_no_frame_is_drawn_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with first_frame(stream, "opening"):
        assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("environ", "plain"),
    [
        ({"TERM": "xterm-256color"}, False),
        ({"TERM": "linux"}, True),
        ({"TERM": "linux", "COLORTERM": "truecolor"}, False),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, True),
    ],
)
def test_sixteen_colours_are_used_where_there_are_no_more(
    environ: dict[str, str], plain: bool
) -> None:
    assert needs_plain_colours(environ) is plain


# ------------------------------------------------------------ the picker
def running_as(name: str, pid: int = 4211, taken_by: int = 0) -> DiscoveredService:
    return DiscoveredService(name, pid, "gunicorn shop:app", "/srv/shop", 0.0, "", taken_by)


WELL = Glance(running_as("shop"), HealthScore(100.0), 120, 0, 0, 60.0)
ILL = Glance(
    running_as("mail", 99, taken_by=7),
    HealthScore(39.0, (HealthCause("failed requests", 61.0, "error_rate"),)),
    200, 25, 25, 60.0,
)  # fmt: skip
MUTE = Glance(running_as("cron", 5))


class Shown(Picker):
    """The picker with services of a test's own."""

    def __init__(self, *services: Glance) -> None:
        super().__init__(Settings())
        self.services = services

    def action_look(self) -> None:  # type: ignore[override]
        self.query_one(ServiceList).show(self.services)


async def test_the_picker_shows_how_each_service_does_and_returns_the_chosen_one() -> None:
    app = Shown(WELL, ILL, MUTE)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        rows = "\n".join(app.query_one(ServiceList).shown)
        for text in (
            "● shop", "HEALTH 100", "120 requests, none failed in 60 s",
            "▼ mail", "HEALTH 39", "25 failed", "failed requests −61", "watched by pid 7",
            "? cron", "no answer",
        ):  # fmt: skip
            assert text in rows, text
        await pilot.press("j", "enter")
        await pilot.pause()
    assert app.return_value == Target(name="mail")


def test_a_theme_that_does_not_exist_is_named_on_every_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(ConfigError, match="there is no 'nope'"):
        SelfhealApp(FakeEngine(), Settings(theme="nope"))


async def test_the_picker_keeps_to_the_terminals_own_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Shown(WELL)
    async with app.run_test(size=(80, 24)):
        assert app.theme == "ansi-dark"


async def test_a_picker_without_services_teaches_how_to_start_one() -> None:
    app = Shown()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert "selfheal-tui run --" in "\n".join(app.query_one(ServiceList).shown)
        await pilot.press("o", *":70000", "enter")
        await pilot.pause()
        assert any("is no port" in note.message for note in app._notifications)
        app.query_one(Input).value = ":8000"
        await pilot.press("enter")
        await pilot.pause()
    assert app.return_value == Target(port=8000)


async def test_leaving_the_picker_chooses_nothing() -> None:
    app = Shown(WELL)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("q")
        await pilot.pause()
    assert app.return_value is None


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("4211", Target(pid=4211)),
        (":8000", Target(port=8000)),
        ("web.service", Target(unit="web.service")),
        ("gunicorn -w 2 'a b:app'", Target(command=("gunicorn", "-w", "2", "a b:app"))),
    ],
)
def test_what_is_typed_becomes_a_target(typed: str, target: Target) -> None:
    assert typed_target(typed) == target


@pytest.mark.parametrize("typed", ["", ":x", "echo 'open"])
def test_what_is_no_target_says_what_to_type(typed: str) -> None:
    with pytest.raises(SelfhealError):
        typed_target(typed)
