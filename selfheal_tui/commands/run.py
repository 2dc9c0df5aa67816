"""`selfheal-tui run -- CMD`: start a service with the probe inside and watch it."""

from __future__ import annotations

import click

from selfheal_engine.config import Settings
from selfheal_engine.model import Target
from selfheal_tui.options import common_options


@click.command(
    epilog="""\b
Examples:
  selfheal-tui run -- gunicorn -w 2 shop.wsgi:app
  selfheal-tui run --project /srv/shop --tests "pytest -q" -- python -m shop
  selfheal-tui run --headless --approve low --events e.jsonl -- gunicorn shop.wsgi:app
""",
)
@click.option("--headless", is_flag=True, help="No screen: events as JSON lines, policy decides.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@common_options
@click.pass_context
def run(
    context: click.Context, settings: Settings, command: tuple[str, ...], headless: bool
) -> None:
    """Start a service with the probe inside and watch it.

    The service ends with the app, unless you leave it running when you quit.
    """
    from selfheal_tui.session import watch

    context.exit(watch(settings, Target(command=command), headless=headless))
