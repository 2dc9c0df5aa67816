"""`selfheal-tui attach PLACE`: watch a service that is running already."""

from __future__ import annotations

import click

from selfheal_engine.config import Settings
from selfheal_tui.options import common_options


@click.command(
    epilog="""\b
Examples:
  selfheal-tui attach shop           a service that carries the probe, by name
  selfheal-tui attach 4211           by pid
  selfheal-tui attach :8000          what listens on port 8000
  selfheal-tui attach shop.service   a systemd unit
"""
)
@click.option("--headless", is_flag=True, help="No screen: events as JSON lines, policy decides.")
@click.argument("place", metavar="PID|NAME|:PORT|UNIT.service")
@common_options
@click.pass_context
def attach(context: click.Context, settings: Settings, place: str, headless: bool) -> None:
    """Watch a service that is running already; it is left running when you go.

    A service without the probe is seen from outside: metrics, but no live swap.
    """
    from selfheal_tui.session import parse_place, watch

    context.exit(watch(settings, parse_place(place), headless=headless))
