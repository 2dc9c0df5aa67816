"""`selfheal-tui history` as a person and a script use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from selfheal_engine.episodic_memory import EpisodicMemory
from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import Step
from selfheal_tui.commands.history import history


@pytest.fixture
def run(tmp_path: Path):
    def call(*words: str) -> Result:
        return CliRunner().invoke(
            history, [*words, "--state", str(tmp_path / "state")], catch_exceptions=False
        )

    return call


@pytest.fixture
def filled(memory: EpisodicMemory, episode) -> EpisodicMemory:
    memory.add(episode(1, ended_s=1000.0, steps=(Step(990.0, "applied", "in force"),)))
    memory.add(episode(2, state="rolled_back", mttr_s=None, diff="--- a/x\n+++ b/x\n"))
    return memory


def test_an_empty_history_says_so(run) -> None:
    assert "the history is empty" in run().output


def test_the_list_is_newest_first_with_the_figures(run, filled) -> None:
    lines = run().output.splitlines()
    assert lines[0].split() == ["#", "when", "service", "what", "patch", "state", "MTTR"]
    assert [line.split()[0] for line in lines[1:3]] == ["2", "1"]
    assert lines[-1].startswith(
        "2 incidents, 1 healed, 1 rolled back, 50% of the patches held, MTTR 20 s"
    )


@pytest.mark.parametrize("name", ["1", "#1", "e1"])
def test_one_story_by_number_or_id(run, filled, name: str) -> None:
    output = run(name).output
    assert output.startswith("#1 TypeError, checkout.py:88 (shop)\nhealed\n")
    assert "applied  in force" in output


def test_the_story_ends_with_the_diff(run, filled) -> None:
    assert run("2").output.endswith("--- a/x\n+++ b/x\n")


def test_json_is_one_object_a_line(run, filled) -> None:
    rows = [json.loads(line) for line in run("--json").output.splitlines()]
    assert [row["id"] for row in rows] == ["e2", "e1"]
    assert json.loads(run("--json", "1").output)["id"] == "e1"


def test_export_never_overwrites(run, filled, tmp_path: Path) -> None:
    target = str(tmp_path / "all.jsonl")
    assert "wrote 2 episodes" in run("--export", target).output
    assert len(Path(target).read_text().splitlines()) == 2
    with pytest.raises(SelfhealError, match="exists already"):
        run("--export", target)


def test_pruning_by_age_and_number(run, filled) -> None:
    assert "forgot 0 episodes" in run("--keep", "5").output
    assert "forgot 2 episodes" in run("--prune", "90d").output
    assert "empty" in run().output
    with pytest.raises(SelfhealError, match="such as 36h"):
        run("--prune", "yesterday")


def test_priors_travel_to_another_machine(run, filled, tmp_path: Path) -> None:
    target = str(tmp_path / "priors.json")
    run("--export-priors", target)
    other = str(tmp_path / "other")
    done = CliRunner().invoke(
        history, ["--import-priors", target, "--state", other], catch_exceptions=False
    )
    assert "learned" in done.output
    assert EpisodicMemory(Path(other)).priors()["null_check"] == filled.priors()["null_check"]


def test_an_unknown_episode_is_one_sentence(run, filled) -> None:
    with pytest.raises(SelfhealError, match="no episode 77"):
        run("77")


def test_a_damaged_history_is_salvaged(run, filled, tmp_path: Path) -> None:
    assert "is whole" in run("--salvage").output
    path = tmp_path / "state" / "history.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"number": 1', b'"number": 7', 1))
    with pytest.raises(SelfhealError, match="--salvage"):
        run()
    assert "1 could not be read" in run("--salvage").output
    assert "1 incident" in run().output
