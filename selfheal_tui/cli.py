"""The command line: one small group that loads a command's file only when it is called.

Everything a person can get wrong ends here as one sentence on standard error with exit code 2;
a traceback is always a bug of ours. SELFHEAL_DEBUG=1 shows
it for the others too.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, NoReturn

import click

from selfheal_engine.errors import SelfhealError
from selfheal_tui.options import SHARED, option_flags

COMMANDS = {
    "run": "Start a service with the probe inside and watch it.",
    "attach": "Watch a service that is running: by pid, name, port or unit.",
    "probe": "Start a service with the probe alone: for unit files.",
    "serve": "Keep the engine when the session ends; the app attaches to it.",
    "demo": "Watch a real service fail and heal it.",
    "history": "What was healed, how and how fast.",
    "repair": "Repair a checkout with failing tests.",
    "sandbox": "Run a command behind the wall that validation uses.",
    "doctor": "What this machine allows, with the fix for what it does not.",
}


class LazyGroup(click.Group):
    """Knows its commands by name and imports `selfheal_tui.commands.<name>` on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"selfheal_tui.commands.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, 1)
            if near:
                hint = f"did you mean `{near[0]}`?"
            else:
                hint = f"`selfheal-tui attach {name}` watches a service."
            raise click.UsageError(
                f"there is no command {name!r}: {hint} The commands are {', '.join(COMMANDS)}.", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  selfheal-tui                                   pick a service on this machine
  selfheal-tui run -- gunicorn app:app           start one and watch it
  selfheal-tui attach :8000                      watch what listens on port 8000
  selfheal-tui demo                              see a healing in two minutes
  selfheal-tui run --headless --approve low --events e.jsonl -- gunicorn app:app
\b
Shell completion (bash; zsh_source and fish_source for the others):
  eval "$(_SELFHEAL_TUI_COMPLETE=bash_source selfheal-tui)"
""",
)
@click.version_option(package_name="selfheal-tui")
@option_flags
@click.pass_context
def cli(context: click.Context, /, **given: Any) -> None:
    """Watch a Python service, catch its bugs, read proven patches, heal it with one key."""
    context.meta["selfheal.flags"] = {
        name: given[name] for name in SHARED if given.get(name) not in (None, ())
    }
    if context.invoked_subcommand is None:
        from selfheal_tui.commands.pick import pick

        context.invoke(pick)


def main() -> NoReturn:
    """Entry point of the `selfheal-tui` script; exits 0, 1 or 2."""
    try:
        code = cli.main(prog_name="selfheal-tui", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        code = exit_.exit_code
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as why:
        why.show()
        code = 2
    except SelfhealError as why:
        if os.environ.get("SELFHEAL_DEBUG"):
            raise
        click.echo(f"selfheal-tui: {why}", err=True)
        code = 2
    except BrokenPipeError:
        # the reader went away (`selfheal-tui history | head`): nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
