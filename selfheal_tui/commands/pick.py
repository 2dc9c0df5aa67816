"""`selfheal-tui` alone: the one service that carries the probe, or a list to pick from."""

from __future__ import annotations

import click

from selfheal_engine.config import Settings
from selfheal_engine.errors import TargetError
from selfheal_engine.model import Target
from selfheal_tui.options import common_options


@click.command()
@common_options
@click.pass_context
def pick(context: click.Context, settings: Settings) -> None:
    """Pick a service on this machine and watch it."""
    from selfheal_engine.sources.discovery import list_services
    from selfheal_tui.session import has_screen, watch

    services = list_services(settings.run_path())
    if len(services) == 1:
        context.exit(watch(settings, Target(name=services[0].name)))
    if not has_screen():
        names = ", ".join(service.name for service in services)
        raise TargetError(
            f"several services carry the probe: {names}; run `selfheal-tui attach NAME`"
            if services
            else "no service on this machine carries the probe: start one with "
            "`selfheal-tui run -- COMMAND`, or look at one from outside with "
            "`selfheal-tui attach PID`"
        )
    from selfheal_tui.screens.picker import pick_target

    target = pick_target(settings)
    context.exit(0 if target is None else watch(settings, target))
