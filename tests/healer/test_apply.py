"""An approved patch comes in force whole or not at all, and goes back whole."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from selfheal_engine.codec import from_plain, to_plain
from selfheal_engine.config import Settings
from selfheal_engine.errors import PatchConflictError, SelfhealError
from selfheal_engine.healer import (
    Applied,
    apply_patch,
    changed_since,
    continue_rollout,
    recover,
    revert_patch,
)
from selfheal_engine.healer import (
    vault as vault_,
)
from selfheal_engine.model import Candidate, Incident
from selfheal_engine.project import Project

from .conftest import BROKEN, MENDED, Service


@pytest.fixture
def apply(project: Project, service: Service, settings: Settings, vault: Path):
    def run(candidate: Candidate, **changes: object) -> Applied:
        return apply_patch(candidate, project, service, replace(settings, **changes), vault)

    return run


@pytest.fixture
def revert(project: Project, service: Service, settings: Settings, vault: Path):
    return lambda applied: revert_patch(applied, project, service, settings, vault)


# ---------------------------------------------------------------- apply
def test_file_and_processes_have_the_new_text(apply, candidate, root, service, vault) -> None:
    applied = apply(candidate())
    assert (root / "shop.py").read_bytes() == MENDED
    assert service.texts() == [MENDED, MENDED]
    assert applied.way == "swap"
    assert applied.note.startswith("in force in 2 processes after")
    assert vault_.fetch(vault, dict(applied.originals)["shop.py"]) == BROKEN
    assert service.held == [str(root / "shop.py")]
    assert from_plain(Applied, to_plain(applied)) == applied


def test_a_file_that_changed_since_is_refused(apply, candidate, root, service) -> None:
    (root / "shop.py").write_bytes(BROKEN + b"# mine\n")
    with pytest.raises(PatchConflictError, match="has changed"):
        apply(candidate())
    assert (root / "shop.py").read_bytes() == BROKEN + b"# mine\n"
    assert service.texts() == [BROKEN, BROKEN]


def test_of_several_files_all_or_none_are_written(apply, candidate, root) -> None:
    patch = candidate(extra=(b"", b"NEW = 1\n"))
    (root / "extra.py").write_bytes(b"somebody was faster\n")
    with pytest.raises(PatchConflictError):
        apply(patch)
    assert (root / "shop.py").read_bytes() == BROKEN


def test_when_a_process_refuses_and_nothing_reloads_all_goes_back(
    apply, candidate, root, service
) -> None:
    service.refuse = {service.pids[1]: "city is a generator that runs"}
    with pytest.raises(SelfhealError, match=r"not applied: city is a generator.*reload_command"):
        apply(candidate())
    assert (root / "shop.py").read_bytes() == BROKEN
    assert service.texts() == [BROKEN, BROKEN]


def test_where_a_swap_is_refused_the_owners_reload_is_used(
    apply, candidate, root, service, tmp_path
) -> None:
    service.refuse = {service.pids[1]: "no"}
    command = shlex.join(["touch", str(tmp_path / "reloaded")])
    applied = apply(candidate(), reload_command=command)
    assert applied.way == "reload"
    assert (tmp_path / "reloaded").exists()
    assert (root / "shop.py").read_bytes() == MENDED


def test_where_a_reload_fails_the_owners_restart_is_used(apply, candidate, service) -> None:
    service.refuse = dict.fromkeys(service.pids, "no")
    assert apply(candidate(), reload_command="false", restart_command="true").way == "restart"
    with pytest.raises(SelfhealError, match="exit code 1"):
        apply(candidate(MENDED + b"# 2\n", MENDED), reload_command="false", restart_command="false")


def test_a_process_that_ended_meanwhile_does_not_count(apply, candidate, service) -> None:
    gone = 2**22 + 1
    service.pids = (service.pids[0], gone)
    service.running[gone] = {}
    service.refuse = {gone: "the process did not answer"}
    assert apply(candidate()).way == "swap"


def test_windows_line_endings_stay(apply, candidate, root, service) -> None:
    crlf = BROKEN.replace(b"\n", b"\r\n")
    (root / "shop.py").write_bytes(crlf)
    apply(candidate(MENDED, crlf))
    assert (root / "shop.py").read_bytes() == MENDED.replace(b"\n", b"\r\n")


def test_mode_file_writes_and_leaves_the_processes(apply, candidate, root, service) -> None:
    applied = apply(candidate(), apply_mode="file")
    assert applied.way == "file"
    assert (root / "shop.py").read_bytes() == MENDED
    assert service.texts() == [BROKEN, BROKEN]


def test_mode_export_writes_a_patch_that_git_takes(apply, candidate, root, git) -> None:
    applied = apply(candidate(), apply_mode="export")
    assert (root / "shop.py").read_bytes() == BROKEN
    git("am", "-q", applied.output)
    assert (root / "shop.py").read_bytes() == MENDED
    assert "Selfheal-Strategy: null_check/guard" in git("log", "-1", "--format=%B")


# ---------------------------------------------------------------- canary
def test_a_canary_goes_ahead_and_the_others_follow(
    apply, candidate, service, project, settings
) -> None:
    applied = apply(candidate(), canary=True)
    assert applied.canary == service.pids[:1]
    assert service.texts() == [MENDED, BROKEN]
    applied = continue_rollout(applied, service, settings, project)
    assert applied.canary == ()
    assert service.texts() == [MENDED, MENDED]
    assert sorted(result.pid for result in applied.processes) == sorted(service.pids)


def test_a_canary_that_failed_goes_back(apply, revert, candidate, root, service) -> None:
    assert revert(apply(candidate(), canary=True)).ok
    assert service.texts() == [BROKEN, BROKEN]
    assert (root / "shop.py").read_bytes() == BROKEN


# ---------------------------------------------------------------- the way back
def test_reverting_restores_files_and_processes(apply, revert, candidate, root, service) -> None:
    patch = candidate(extra=(b"", b"NEW = 1\n"))
    applied = apply(patch)
    assert (root / "extra.py").exists()
    reverted = revert(applied)
    assert reverted.ok
    assert (root / "shop.py").read_bytes() == BROKEN
    assert not (root / "extra.py").exists()
    assert service.texts() == [BROKEN, BROKEN]
    assert revert(applied).ok, "twice is as good as once"


def test_of_two_patches_of_one_file_the_later_goes_back_alone(
    apply, revert, candidate, root, service
) -> None:
    apply(candidate())
    second = MENDED.replace(b"return 1", b"return 2")
    later = apply(candidate(second, MENDED))
    assert revert(later).ok
    assert (root / "shop.py").read_bytes() == MENDED
    assert service.texts() == [MENDED, MENDED]


def test_of_two_patches_of_one_file_the_earlier_goes_back_alone(
    apply, revert, candidate, root, service
) -> None:
    earlier = apply(candidate())
    apply(candidate(MENDED.replace(b"return 1", b"return 2"), MENDED))
    assert revert(earlier).ok
    assert (root / "shop.py").read_bytes() == BROKEN.replace(b"return 1", b"return 2")
    assert service.texts() == [BROKEN.replace(b"return 1", b"return 2")] * 2


def test_what_the_owner_changed_since_is_not_lost(apply, revert, candidate, root) -> None:
    applied = apply(candidate())
    (root / "shop.py").write_bytes(MENDED.replace(b"return None", b"return ''"))
    reverted = revert(applied)
    assert not reverted.ok
    assert "left as it is" in reverted.reason
    assert b"return ''" in (root / "shop.py").read_bytes()


def test_a_damaged_original_is_said(apply, revert, candidate, root, vault) -> None:
    applied = apply(candidate())
    for kept in vault.rglob("*"):
        if kept.is_file():
            kept.write_bytes(b"rot")
    reverted = revert(applied)
    assert not reverted.ok
    assert "damaged" in reverted.reason
    assert (root / "shop.py").read_bytes() == MENDED


def test_a_deploy_over_the_patch_is_noticed(apply, candidate, project, root) -> None:
    applied = apply(candidate())
    assert changed_since(applied, project) == ""
    (root / "shop.py").write_bytes(b"deployed\n")
    assert changed_since(applied, project) == "shop.py"
    assert changed_since(replace(applied, way="file"), project) == ""


def test_originals_are_kept_while_needed_and_then_for_their_time(apply, candidate, vault) -> None:
    needed = dict(apply(candidate()).originals)["shop.py"]
    for kept in vault.glob("??/*"):
        os.utime(kept, (1.0, 1.0))
    young = vault_.keep(vault, b"young")
    assert vault_.forget_old(vault, 1000.0, {needed}) == 1
    assert vault_.fetch(vault, needed) == BROKEN
    assert vault_.fetch(vault, young) == b"young"


# ---------------------------------------------------------------- after a crash
@pytest.fixture
def recovered(project, service, settings, vault, incident):
    def run(candidate: Candidate, applied: Applied | None = None):
        note = {"candidate": to_plain(candidate), "applied": applied and to_plain(applied)}
        return recover(incident, note, project, service, settings, vault)

    return run


def test_nothing_written_is_untouched(recovered, candidate, root) -> None:
    found = recovered(candidate())
    assert (found.kind, found.applied) == ("untouched", None)
    assert (root / "shop.py").read_bytes() == BROKEN


def test_half_written_is_taken_back(apply, recovered, candidate, root) -> None:
    patch = candidate(extra=(b"A = 1\n", b"A = 2\n"))
    (root / "extra.py").write_bytes(b"A = 1\n")
    apply(patch)
    (root / "extra.py").write_bytes(b"A = 1\n")
    assert recovered(patch).kind == "take_back"
    assert (root / "shop.py").read_bytes() == BROKEN


def test_wholly_written_is_brought_to_every_process(apply, recovered, candidate, service) -> None:
    apply(candidate())
    service.running[service.pids[1]]["shop.py"] = BROKEN
    found = recovered(candidate())
    assert found.kind == "in_force"
    assert found.applied is not None
    assert service.texts() == [MENDED, MENDED]


def test_what_was_in_force_can_still_go_back(apply, recovered, revert, candidate, root) -> None:
    apply(candidate())
    found = recovered(candidate())
    assert revert(found.applied).ok
    assert (root / "shop.py").read_bytes() == BROKEN


def test_an_interrupted_canary_is_finished(apply, recovered, candidate, service) -> None:
    applied = apply(candidate(), canary=True)
    found = recovered(candidate(), applied)
    assert found.applied.canary == ()
    assert service.texts() == [MENDED, MENDED]


def test_a_file_changed_in_between_is_left_to_the_person(apply, recovered, candidate, root) -> None:
    applied = apply(candidate())
    (root / "shop.py").write_bytes(b"something else\n")
    assert recovered(candidate(), applied).kind == "conflict"
    assert (root / "shop.py").read_bytes() == b"something else\n"


def test_no_candidate_in_the_note_means_nothing_was_done(
    incident: Incident, project, service, settings, vault
) -> None:
    assert recover(incident, {}, project, service, settings, vault).kind == "untouched"
