"""What is remembered, what it teaches, and what is forgotten."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from selfheal_engine.episodic_memory import EpisodicMemory, patch_key
from selfheal_engine.episodic_memory.similarity import in_words
from selfheal_engine.errors import HistoryError
from selfheal_engine.healer import Applied
from selfheal_engine.model import Incident, IncidentState, Step

DIFF = "--- a/shop.py\n+++ b/shop.py\n@@ -3,3 +3,3 @@\n def f(x):\n-    return x.a\n+    return 1\n"


def test_an_episode_comes_back_as_it_was(memory: EpisodicMemory, episode) -> None:
    story = episode(7, steps=(Step(1.0, "open", "so it began"),), safety=91)
    memory.add(story)
    assert memory.episodes() == [story]
    assert memory.episode("e7") == story
    assert memory.episode("e8") is None


def test_an_episode_told_again_replaces_itself(memory: EpisodicMemory, episode) -> None:
    memory.add(episode(1, state="healed"))
    memory.add(episode(1, state="rolled_back"))
    assert [found.state for found in memory.episodes()] == ["rolled_back"]


def test_what_another_process_adds_or_changes_is_seen(
    memory: EpisodicMemory, episode, tmp_path: Path
) -> None:
    other = EpisodicMemory(tmp_path / "state")
    memory.add(episode(1))
    assert [found.number for found in other.episodes()] == [1]
    other.add(episode(2, ended_s=9.0))
    other.rolled_back("e1", "the error came back")
    assert [(found.number, found.state) for found in memory.episodes()] == [
        (1, "rolled_back"),
        (2, "healed"),
    ]
    memory.prune(keep=1)
    assert [found.number for found in other.episodes()] == [1]


def test_episodes_are_newest_first_and_filtered_by_field(memory: EpisodicMemory, episode) -> None:
    for number in (1, 2, 3):
        memory.add(episode(number, ended_s=1000.0 + number, service="ab"[number % 2]))
    assert [found.number for found in memory.episodes()] == [3, 2, 1]
    assert [found.number for found in memory.episodes(service="b", limit=1)] == [3]
    with pytest.raises(HistoryError, match="no field"):
        memory.episodes(colour="red")


def test_similar_episodes_begin_with_the_same_bug(memory: EpisodicMemory, episode) -> None:
    memory.add(episode(1, fingerprint="other", exception="KeyError"))
    memory.add(episode(2, fingerprint="same", bug_type="race_condition_fix"))
    memory.add(episode(3, fingerprint="other"))
    memory.add(episode(4, bug_type="syntax_fix", fingerprint="far"))
    found = memory.similar("same", "null_check", "TypeError")
    assert [similar.number for similar in found] == [2, 3, 1]


def test_a_past_episode_is_told_in_one_line(episode) -> None:
    day_s = 86400.0
    assert in_words(episode(7), "f1", 1020.0 + 3 * day_s) == (
        "seen before: #7 TypeError, checkout.py:88, 3 days ago, healed by null_check/guard"
    )
    rejected = episode(8, state="rejected", reason="hides the error")
    assert in_words(rejected, "f2", 1020.0) == (
        "similar: #8 TypeError, checkout.py:88, today, rejected null_check/guard (hides the error)"
    )


def test_numbers_go_on_after_the_highest(memory: EpisodicMemory, episode, incident) -> None:
    assert memory.next_number() == 1
    memory.add(episode(4))
    memory.write_state(incident(9), {})
    assert memory.next_number() == 10


def test_what_was_applied_can_be_asked_for_later(memory: EpisodicMemory) -> None:
    applied = Applied("c1", ("shop.py",), "swap", originals=(("shop.py", "aa"),))
    memory.remember_applied("e1", applied)
    assert memory.applied("e1") == applied
    assert memory.applied("e2") is None


def test_success_rate_mttr_and_false_alarms(memory: EpisodicMemory, episode) -> None:
    for number, seconds in enumerate((10.0, 20.0, 30.0), 1):
        memory.add(episode(number, mttr_s=seconds))
    memory.add(episode(4, state="rolled_back", mttr_s=None))
    memory.add(episode(5, state="dismissed", strategy="", decision="dismiss", mttr_s=None))
    memory.add(episode(6, state="rejected", mttr_s=None))
    stats = memory.stats()
    assert (stats.incidents, stats.healed, stats.rolled_back, stats.rejected) == (6, 3, 1, 1)
    assert stats.patch_success_rate == 0.75
    assert (stats.mttr_median_s, stats.mttr_p90_s) == (20.0, 30.0)
    assert stats.false_alarms == 2
    memory.add(episode(7, state="dismissed", decision="person", mttr_s=None))
    assert memory.stats().false_alarms == 2, "a patch handed over as a file is no false alarm"
    assert stats.by_strategy == {"null_check": (4, 3)}


def test_each_strategy_has_the_same_figures(memory: EpisodicMemory, episode) -> None:
    memory.add(episode(1, mttr_s=10.0))
    memory.add(episode(2, mttr_s=30.0, strategy="timeout_guard"))
    memory.add(episode(3, state="rejected", mttr_s=None, strategy="timeout_guard"))
    stats = memory.stats()
    guard = stats.strategies["timeout_guard"]
    assert (guard.incidents, guard.healed, guard.false_alarms) == (2, 1, 1)
    assert (guard.mttr_median_s, guard.patch_success_rate) == (30.0, 1.0)
    assert stats.downtime_avoided_s == sum(
        own.downtime_avoided_s for own in stats.strategies.values()
    )
    assert stats.strategies.keys() == {"null_check", "timeout_guard"}


def test_downtime_avoided_is_against_what_unhealed_incidents_took(
    memory: EpisodicMemory, episode
) -> None:
    memory.add(episode(1, mttr_s=100.0))
    assert memory.stats().downtime_avoided_s == 3500.0
    for number in (2, 3, 4):
        memory.add(episode(number, state="dismissed", first_seen_s=0.0, ended_s=600.0, mttr_s=None))
    assert memory.stats().downtime_avoided_s == 500.0


# ---------------------------------------------------------------- learning
def test_a_template_never_tried_is_as_good_as_its_strategy(memory: EpisodicMemory, episode) -> None:
    for number in range(1, 9):
        memory.add(episode(number))
    memory.add(episode(9, state="rolled_back", template="other"))
    priors = memory.priors()
    assert priors["null_check"] == (9, 2)
    assert priors["null_check/guard"] == pytest.approx((8 + 2 * 9 / 11, 2 * 2 / 11))
    alpha, beta = priors["null_check/other"]
    assert alpha / (alpha + beta) < 9 / 11
    assert {"null_check:null_check", "framework flask:null_check", "project shop:null_check"} < set(
        priors
    )


def test_a_rejected_patch_counts_against_its_template(memory: EpisodicMemory) -> None:
    memory.reject("f1", DIFF, "hides the error", strategy="null_check", template="guard")
    assert memory.priors()["null_check"] == (1, 2)


def test_bug_type_framework_and_project_move_what_is_expected(
    memory: EpisodicMemory, episode
) -> None:
    for number in range(1, 9):
        memory.add(episode(number, framework="flask"))
        memory.add(episode(20 + number, framework="celery", state="rolled_back", mttr_s=None))
    for name in range(3):
        memory.reject(f"f{name}", f"+{name}", "no", strategy="null_check", framework="celery")

    def expected(framework: str, key: str = "null_check/guard") -> float:
        alpha, beta = memory.priors_for("", framework, "")[key]
        return alpha / (alpha + beta)

    usual = memory.priors()["null_check/guard"]
    assert expected("celery") < usual[0] / sum(usual) < expected("flask")
    assert expected("django") == pytest.approx(usual[0] / sum(usual)), "never seen: no opinion"
    assert sum(memory.priors_for("", "flask", "")["null_check"]) == pytest.approx(
        sum(memory.priors()["null_check"])
    ), "what was learned elsewhere adds no trials"


def test_a_rejected_patch_is_known_although_lines_moved(memory: EpisodicMemory) -> None:
    memory.reject("f1", DIFF, "no")
    memory.reject("f1", DIFF, "still no")
    moved = DIFF.replace("@@ -3,3 +3,3 @@", "@@ -40,3 +40,3 @@").replace(" def f(x):\n", " \n")
    assert [patch_key(diff) for diff in memory.rejected("f1")] == [patch_key(moved)]
    assert memory.rejected("f2") == ()
    assert patch_key(DIFF) != patch_key(DIFF.replace("return 1", "return 2"))


def test_shared_priors_hold_no_names_and_teach_another_machine(
    memory: EpisodicMemory, episode, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        memory.add(episode(number, service="secret-shop", title="in secret.py"))
    shared = memory.export_priors()
    assert "secret" not in shared
    other = EpisodicMemory(tmp_path / "other")
    assert other.import_priors(shared) == len(json.loads(shared)["counts"])
    other.import_priors(shared)
    assert other.priors()["null_check"] == memory.priors()["null_check"] == (4, 1)


@pytest.mark.parametrize("text", ["", "{}", '{"format": "x"}', "[1]"])
def test_what_are_no_priors_is_refused(memory: EpisodicMemory, text: str) -> None:
    with pytest.raises(HistoryError, match="nothing was imported"):
        memory.import_priors(text)


def test_pruned_episodes_are_gone_but_not_what_they_taught(memory: EpisodicMemory, episode) -> None:
    now_s = time.time()
    for number in range(1, 6):
        memory.add(episode(number, ended_s=now_s - 100 * number))
    memory.remember_applied("e5", Applied("c", (), "swap"))
    before = memory.priors()
    assert memory.prune(older_than_s=350) == 2
    assert memory.prune(keep=1) == 2
    assert [found.number for found in memory.episodes()] == [1]
    assert memory.priors() == before
    assert memory.applied("e5") is None
    assert '"e5"' not in (memory.folder / "history.jsonl").read_text()


# ---------------------------------------------------------------- write-ahead
def test_unfinished_incidents_come_back_with_their_notes(
    memory: EpisodicMemory, incident, tmp_path: Path
) -> None:
    memory.write_state(incident(2), {"by": "person"})
    memory.write_state(incident(1), {})
    memory.write_state(incident(2, IncidentState.WATCHING), {"by": "automatic"})
    again = EpisodicMemory(tmp_path / "state")
    assert again.unfinished() == [
        (incident(1), {}),
        (incident(2, IncidentState.WATCHING), {"by": "automatic"}),
    ]


def test_a_forgotten_incident_leaves_no_recorded_value_behind(
    memory: EpisodicMemory, incident
) -> None:
    memory.write_state(incident(1), {"value": "hunter2"})
    memory.write_state(incident(2), {})
    memory.forget_state("i1")
    assert [found.id for found, _ in memory.unfinished()] == ["i2"]
    assert "hunter2" not in (memory.folder / "incidents.jsonl").read_text()


def test_services_do_not_see_each_others_unfinished_incidents(
    tmp_path: Path, incident: type[Incident]
) -> None:
    shop, mail = EpisodicMemory(tmp_path), EpisodicMemory(tmp_path)
    shop.for_service("shop")
    mail.for_service("mail")
    shop.write_state(incident(1), {})  # type: ignore[call-arg,arg-type]
    assert mail.unfinished() == []
    assert len(shop.unfinished()) == 1
