"""`selfheal-tui history`: what was healed, how and how fast; what was learned, to share."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from pathlib import Path

import click

from selfheal_engine.codec import to_plain
from selfheal_engine.config import Settings
from selfheal_engine.episodic_memory import EpisodicMemory
from selfheal_engine.episodic_memory.memory import HISTORY_FILE
from selfheal_engine.episodic_memory.salvage import salvage_history
from selfheal_engine.errors import ConfigError, HistoryError, SelfhealError
from selfheal_engine.healer import write_new_file
from selfheal_engine.model import Episode, HealingStats
from selfheal_tui.options import common_options, explain_only

_AGE = re.compile(r"(\d+)([hdwy])")
_UNIT_S = {"h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


@explain_only("state_dir", "config")
@click.command(
    epilog="""\b
Examples:
  selfheal-tui history                         every episode, newest first
  selfheal-tui history 12                      the story of one, with its diff
  selfheal-tui history --json | jq .title      one JSON object a line
  selfheal-tui history --prune 90d             forget what is older, keep what it taught
  selfheal-tui history --export-priors p.json  share what was learned, without code or data
"""
)
@click.argument("episode", metavar="[ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--export", "export_file", metavar="FILE", help="Write every episode to FILE.")
@click.option("--prune", metavar="AGE", help="Forget what ended longer ago: 36h, 90d, 8w, 1y.")
@click.option("--keep", type=click.IntRange(min=0), help="Forget all but the newest N episodes.")
@click.option("--export-priors", metavar="FILE", help="Write what was learned to FILE.")
@click.option("--import-priors", metavar="FILE", help="Learn from another machine's FILE.")
@click.option("--salvage", is_flag=True, help="Make a damaged history readable again.")
@common_options
def history(
    settings: Settings,
    episode: str | None,
    as_json: bool,
    export_file: str | None,
    prune: str | None,
    keep: int | None,
    export_priors: str | None,
    import_priors: str | None,
    salvage: bool,
) -> None:
    """What was healed, how and how fast. ID is an episode's number or id."""
    folder = settings.state_path()
    if salvage:
        _salvage(folder / HISTORY_FILE)
        return
    memory = EpisodicMemory(folder)
    try:
        if import_priors:
            count = memory.import_priors(_read(import_priors))
            click.echo(f"learned {count} counts from {import_priors}")
        elif export_priors:
            write_new_file(Path(export_priors), memory.export_priors().encode())
            click.echo(f"wrote what was learned to {export_priors}")
        elif export_file:
            episodes = memory.episodes()
            write_new_file(Path(export_file), "".join(_lines(episodes)).encode())
            click.echo(f"wrote {_count(len(episodes))} to {export_file}")
        elif prune is not None or keep is not None:
            older_than_s = None if prune is None else _age_s(prune)
            gone = memory.prune(older_than_s=older_than_s, keep=keep)
            click.echo(f"forgot {_count(gone)}; what they taught is kept")
        elif episode:
            found = _find(memory, episode)
            click.echo("".join(_lines([found])) if as_json else _story(found), nl=not as_json)
        elif as_json:
            click.echo("".join(_lines(memory.episodes())), nl=False)
        else:
            click.echo(_table(memory.episodes(), memory.stats()))
    finally:
        memory.close()


def _find(memory: EpisodicMemory, wanted: str) -> Episode:
    number = wanted.removeprefix("#")
    if number.isdigit():
        numbered = memory.episodes(number=int(number))
        if numbered:
            return numbered[0]
    found = memory.episode(wanted)
    if found is None:
        raise SelfhealError(f"the history has no episode {wanted}: selfheal-tui history lists them")
    return found


def _table(episodes: list[Episode], stats: HealingStats) -> str:
    if not episodes:
        return "Nothing has been healed yet: the history is empty."
    head = ("#", "when", "service", "what", "patch", "state", "MTTR")
    rows = [head, *(_row(episode) for episode in episodes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", _summary(stats)])


def _row(episode: Episode) -> tuple[str, ...]:
    return (
        str(episode.number),
        time.strftime("%Y-%m-%d %H:%M", time.localtime(episode.ended_s)),
        episode.service,
        episode.title,
        episode.strategy,
        episode.state.replace("_", " "),
        "" if episode.mttr_s is None else f"{episode.mttr_s:.0f} s",
    )


def _summary(stats: HealingStats) -> str:
    incidents = "1 incident" if stats.incidents == 1 else f"{stats.incidents} incidents"
    words = [f"{incidents}, {stats.healed} healed"]
    if stats.rolled_back:
        words.append(f"{stats.rolled_back} rolled back")
    if stats.patch_success_rate is not None:
        words.append(f"{stats.patch_success_rate:.0%} of the patches held")
    if stats.mttr_median_s is not None and stats.mttr_p90_s is not None:
        words.append(f"MTTR {stats.mttr_median_s:.0f} s (9 in 10 under {stats.mttr_p90_s:.0f} s)")
    if stats.downtime_avoided_s:
        words.append(f"about {stats.downtime_avoided_s / 3600:.1f} h of downtime avoided")
    return ", ".join(words)


def _story(episode: Episode) -> str:
    lines = [
        f"#{episode.number} {episode.title} ({episode.service})",
        f"{episode.state.replace('_', ' ')}: {episode.reason}".rstrip(": "),
        "",
    ]
    facts = {
        "bug type": episode.bug_type,
        "place": episode.place,
        "seen": f"{episode.occurrences} times",
        "patch": f"{episode.strategy}/{episode.template}" if episode.strategy else "",
        "decided by": episode.decision,
        "safety": "" if episode.safety is None else str(episode.safety),
        "MTTR": "" if episode.mttr_s is None else f"{episode.mttr_s:.1f} s",
    }
    lines += [f"{name:>11}  {value}" for name, value in facts.items() if value]
    lines.append("")
    for step in episode.steps:
        clock = time.strftime("%H:%M:%S", time.localtime(step.time_s))
        lines.append(f"  {clock}  {step.what.replace('_', ' ')}  {step.text}".rstrip())
    if episode.diff:
        lines += ["", episode.diff.rstrip("\n")]
    return "\n".join(lines)


def _lines(episodes: Iterable[Episode]) -> list[str]:
    return [json.dumps(to_plain(episode), ensure_ascii=False) + "\n" for episode in episodes]


def _age_s(text: str) -> float:
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"--prune {text!r}: expected an age such as 36h, 90d, 8w or 1y")
    return float(int(match[1]) * _UNIT_S[match[2]])


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as why:
        raise HistoryError(f"cannot read {file}: {why}") from None


def _salvage(path: Path) -> None:
    salvaged = salvage_history(path)
    if salvaged is None:
        click.echo(f"{path} is whole: nothing was done")
        return
    click.echo(
        f"kept {salvaged.kept} commits, {salvaged.lost} could not be read; "
        f"the damaged file lies at {salvaged.damaged}"
    )


def _count(episodes: int) -> str:
    return "1 episode" if episodes == 1 else f"{episodes} episodes"
