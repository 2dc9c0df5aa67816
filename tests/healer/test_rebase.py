"""A patch meets a file that has changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal_engine.errors import PatchConflictError
from selfheal_engine.healer import rebase_patch
from selfheal_engine.healer.rebase import changed_files, merge, take_out, unified
from selfheal_engine.project import sha256

from .conftest import BROKEN, MENDED


def test_a_change_elsewhere_keeps_both(candidate, project, root) -> None:
    current = b"import os\n\n" + BROKEN
    (root / "shop.py").write_bytes(current)
    patch = candidate()
    assert changed_files(patch, project) == ["shop.py"]
    moved = rebase_patch(patch, project)
    assert dict(moved.files)["shop.py"] == b"import os\n\n" + MENDED
    assert dict(moved.original_hashes)["shop.py"] == sha256(current)
    assert take_out(moved.diff, "shop.py", b"import os\n\n" + MENDED) == current
    assert moved.id != patch.id


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"order.address.city", b"order.address.town"),
        (b"def city(order):", b"def city(order, default):"),
        (b"    return order", b"    print(1)\n    return order"),
    ],
)
def test_a_change_at_the_same_place_is_refused(candidate, project, root, before, after) -> None:
    (root / "shop.py").write_bytes(BROKEN.replace(before, after))
    with pytest.raises(PatchConflictError, match="very place"):
        rebase_patch(candidate(), project)


def test_a_merge_that_would_not_compile_is_refused(candidate, project, root) -> None:
    (root / "shop.py").write_bytes(BROKEN + b"def broken(:\n")
    with pytest.raises(PatchConflictError, match="would not compile"):
        rebase_patch(candidate(), project)


def test_a_patch_that_the_owner_already_made_is_refused(candidate, project, root) -> None:
    (root / "shop.py").write_bytes(MENDED)
    with pytest.raises(PatchConflictError, match="already"):
        rebase_patch(candidate(), project)


TEXT = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"a = 1\n"]), max_size=12)


@given(TEXT, TEXT)
def test_one_side_alone_is_merged_as_it_is(base: list[bytes], side: list[bytes]) -> None:
    old, new = b"".join(base), b"".join(side)
    assert merge(old, new, old) == merge(old, old, new) == merge(old, new, new) == new


@given(TEXT, TEXT)
def test_a_diff_can_be_taken_out_again(base: list[bytes], side: list[bytes]) -> None:
    old, new = b"".join(base), b"".join(side)
    if old != new:
        assert take_out(unified("x.py", old, new), "x.py", new) == old
