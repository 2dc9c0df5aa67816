"""Mode git: a commit with the story, and the owner's own work untouched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfheal_engine.codec import to_plain
from selfheal_engine.errors import PatchConflictError, SelfhealError
from selfheal_engine.healer import apply_patch, recover, revert_patch

from .conftest import BROKEN, MENDED


@pytest.fixture
def apply(project, service, settings, vault, incident):
    def run(candidate, branch: str = ""):
        changed = replace(settings, apply_mode="git", git_branch=branch)
        return apply_patch(candidate, project, service, changed, vault, incident=incident)

    return run


def test_the_commit_tells_the_story(apply, candidate, git, service) -> None:
    applied = apply(candidate())
    assert git("rev-parse", "HEAD") == applied.commit
    body = git("log", "-1", "--format=%B")
    assert body.startswith("answer nothing for an order without an address\n")
    assert "Heals AttributeError, shop.py:2, seen 10 times." in body
    trailers = git("log", "-1", "--format=%(trailers:only)")
    assert "Selfheal-Incident: i1" in trailers
    assert "Selfheal-Fingerprint: f1" in trailers
    assert git("status", "--porcelain") == ""
    assert service.texts() == [MENDED, MENDED]


def test_the_owners_staged_and_unstaged_work_stays_theirs(apply, candidate, git, root) -> None:
    (root / "staged.py").write_text("A = 1\n")
    git("add", "staged.py")
    mine = BROKEN.replace(b"return 1", b"return 111")
    (root / "shop.py").write_bytes(mine)
    apply(candidate(MENDED.replace(b"return 1", b"return 111"), mine))
    assert git("show", "HEAD:shop.py") == MENDED.decode().strip()
    assert git("status", "--porcelain").split("\n") == ["M shop.py", "A  staged.py"]
    assert git("diff", "--stat").count("1 insertion(+), 1 deletion(-)") == 1


def test_uncommitted_work_at_the_patchs_place_is_refused_and_all_goes_back(
    apply, candidate, git, root, service
) -> None:
    mine = BROKEN.replace(b"order.address.city", b"order.address.town")
    (root / "shop.py").write_bytes(mine)
    head = git("rev-parse", "HEAD")
    with pytest.raises(PatchConflictError, match="uncommitted"):
        apply(candidate(mine.replace(b"    return o", b"    o = o or 1\n    return o"), mine))
    assert (root / "shop.py").read_bytes() == mine
    assert git("rev-parse", "HEAD") == head
    assert service.texts() == [mine, mine]


def test_a_named_branch_gets_the_commit_and_the_tree_stays(apply, candidate, git, root) -> None:
    applied = apply(candidate(), branch="heal/city")
    assert git("rev-parse", "heal/city") == applied.commit
    assert git("show", "heal/city:shop.py") == MENDED.decode().strip()
    assert git("rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert (root / "shop.py").read_bytes() == BROKEN
    assert "in force when you deploy it" in applied.note


def test_taking_back_is_a_commit_too(
    apply, candidate, git, root, project, service, settings, vault
) -> None:
    applied = apply(candidate())
    assert revert_patch(applied, project, service, settings, vault).ok
    assert (root / "shop.py").read_bytes() == BROKEN
    assert git("status", "--porcelain") == ""
    assert git("log", "-1", "--format=%(trailers:only)") == f"Selfheal-Reverts: {applied.commit}"


def test_outside_a_repository_it_is_one_sentence(apply, candidate, root) -> None:
    with pytest.raises(SelfhealError, match="no git repository"):
        apply(candidate())
    assert (root / "shop.py").read_bytes() == BROKEN


# ---------------------------------------------------------------- after a kill
@pytest.fixture
def recovered(project, service, settings, vault, incident):
    def run(candidate, branch: str = ""):
        changed = replace(settings, apply_mode="git", git_branch=branch)
        note = {"candidate": to_plain(candidate)}
        return recover(incident, note, project, service, changed, vault)

    return run


def test_written_but_not_committed_is_committed_by_the_next_start(
    project, service, settings, vault, recovered, candidate, git
) -> None:
    apply_patch(candidate(), project, service, settings, vault)  # as far as the engine came
    found = recovered(candidate())
    assert (found.kind, found.applied.way) == ("in_force", "git")
    assert git("rev-parse", "HEAD") == found.applied.commit
    assert git("status", "--porcelain") == ""


def test_committed_but_not_journalled_is_not_committed_twice(
    apply, recovered, candidate, git
) -> None:
    applied = apply(candidate())
    found = recovered(candidate())
    assert found.applied.commit == applied.commit
    assert git("rev-list", "--count", "HEAD") == "2"


def test_a_commit_on_a_named_branch_is_found_again(apply, recovered, candidate, git) -> None:
    assert recovered(candidate(), "heal/city").kind == "untouched"
    applied = apply(candidate(), branch="heal/city")
    found = recovered(candidate(), "heal/city")
    assert (found.kind, found.applied.commit) == ("in_force", applied.commit)
    assert apply(candidate(), branch="heal/city").commit == applied.commit, "a second commit"


def test_a_roll_back_that_was_killed_is_finished_in_the_repository_too(
    apply, candidate, git, root, project, service, settings, vault
) -> None:
    applied = apply(candidate())
    (root / "shop.py").write_bytes(BROKEN)  # restored, and then the engine died
    for _ in range(2):  # the second time it had committed, but not journalled that
        assert revert_patch(applied, project, service, settings, vault).ok
        assert git("show", "HEAD:shop.py") == BROKEN.decode().strip()
        assert git("rev-list", "--count", "HEAD") == "3"
