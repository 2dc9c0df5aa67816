"""A project's tree as an archive, and its way back to a folder on another machine."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal_engine.project import sha256
from selfheal_engine.sandbox_validator.trees import Trees, pack

NAMES = st.text("abcdefg.ü", min_size=1, max_size=8).filter(lambda n: n not in (".", ".."))


@settings(max_examples=40, deadline=None)
@given(tree=st.dictionaries(st.tuples(NAMES, NAMES), st.binary(max_size=60), max_size=6))
def test_equal_trees_make_equal_archives_which_unpack_to_the_same(
    tree: dict[tuple[str, str], bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("trees")
    packed = []
    for number, pairs in enumerate((list(tree.items()), list(reversed(tree.items())))):
        root = base / f"root{number}"
        root.mkdir()
        for (folder, name), content in pairs:
            (root / folder).mkdir(exist_ok=True)
            (root / folder / name).write_bytes(content)
            os.utime(root / folder / name, (number, number))
        (root / "__pycache__").mkdir()
        (root / "__pycache__" / f"left{number}.pyc").write_bytes(bytes([number]))
        packed.append(pack(root))
    assert packed[0] == packed[1]
    place = Trees(base / "kept").receive(*packed[0])
    for (folder, name), content in tree.items():
        assert (place / folder / name).read_bytes() == content
    assert not (place / "__pycache__").exists()


def test_a_changed_byte_makes_another_hash_and_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.py").write_text("a = 1\n")
    first, content = pack(root)
    (root / "a.py").write_text("a = 2\n")
    assert pack(root)[0] != first
    with pytest.raises(ValueError, match="damaged"):
        Trees(tmp_path / "kept").receive(first, content[:-1])
    assert Trees(tmp_path / "kept").find(first) is None


def test_links_that_lead_out_of_the_tree_stay_behind(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.py").write_text("a = 1\n")
    (root / "inside").symlink_to("a.py")
    (root / "outside").symlink_to("../secret")
    (root / "absolute").symlink_to("/etc/passwd")
    place = Trees(tmp_path / "kept").receive(*pack(root))
    assert sorted(entry.name for entry in place.iterdir()) == ["a.py", "inside"]


@pytest.mark.parametrize("filters", [True, False])
@pytest.mark.parametrize("name", ["shop/orders.py", "../orders.py"])
def test_a_tree_is_unpacked_inside_its_folder_or_not_at_all(
    filters: bool, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not filters:  # as before Python 3.11.4
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"a=1"))
    trees = Trees(tmp_path / "kept" / "trees")
    if name == "shop/orders.py":
        place = trees.receive(sha256(raw.getvalue()), raw.getvalue())
        assert (place / name).read_bytes() == b"a=1"
        return
    with pytest.raises((ValueError, tarfile.TarError)):
        trees.receive(sha256(raw.getvalue()), raw.getvalue())
    assert not list(tmp_path.rglob("orders.py"))
