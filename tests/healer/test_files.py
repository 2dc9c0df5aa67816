"""Source files stay whole and their owner's."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from selfheal_engine.errors import PatchConflictError, SelfhealError
from selfheal_engine.healer.files import (
    atomic_write,
    content_hash,
    keep_conventions,
    place,
    sweep,
    write_new_file,
)
from selfheal_engine.project import Project, sha256


def write(path: Path, content: bytes) -> None:
    atomic_write(path, content, expected=content_hash(path))


def test_mode_owner_and_attributes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_bytes(b"old")
    path.chmod(0o754)
    if os.getuid() == 0:
        os.chown(path, 1234, 1234)
    before = path.stat()
    write(path, b"new")
    after = path.stat()
    assert path.read_bytes() == b"new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert list(tmp_path.iterdir()) == [path]


def test_a_same_size_patch_in_the_same_second_leaves_no_stale_bytecode(tmp_path: Path) -> None:
    path = tmp_path / "answer.py"
    path.write_text("print(1)\n")
    py_compile.compile(str(path))
    before = path.stat().st_mtime
    write(path, b"print(2)\n")
    assert int(path.stat().st_mtime) > int(before)
    done = subprocess.run(
        [sys.executable, "-c", "import answer"], cwd=tmp_path, capture_output=True
    )
    assert done.stdout == b"2\n"


def test_of_hard_links_only_the_patched_name_changes(tmp_path: Path) -> None:
    file, release = tmp_path / ("a" * 252 + ".py"), tmp_path / "release.py"
    file.write_bytes(b"x = 1\n")
    os.link(file, release)
    atomic_write(file, b"x = 2\n", expected=sha256(b"x = 1\n"))
    assert (file.read_bytes(), release.read_bytes()) == (b"x = 2\n", b"x = 1\n")


def test_a_symlink_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real.py").write_bytes(b"old")
    (tmp_path / "link.py").symlink_to("real.py")
    project = Project(tmp_path, sys.executable)
    write(place(project, "link.py"), b"new")
    assert (tmp_path / "link.py").is_symlink()
    assert (tmp_path / "real.py").read_bytes() == b"new"


@pytest.mark.parametrize("path", ["../out.py", "/etc/passwd", "a/../../out.py", "."])
def test_a_path_out_of_the_project_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(SelfhealError, match="outside"):
        place(Project(tmp_path, sys.executable), path)


def test_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link.py").symlink_to(tmp_path / "out.py")
    with pytest.raises(SelfhealError, match="outside"):
        place(Project(tmp_path / "inside", sys.executable), "link.py")


def test_a_changed_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_bytes(b"the owner's new text")
    with pytest.raises(PatchConflictError, match="nothing was written"):
        atomic_write(path, b"ours", expected=sha256(b"the owner's old text"))
    assert path.read_bytes() == b"the owner's new text"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "tests" / "test_new.py"
    write_new_file(path, b"one")
    with pytest.raises(SelfhealError, match="exists already"):
        write_new_file(path, b"two")
    assert path.read_bytes() == b"one"


def test_line_endings_and_byte_order_mark_are_kept() -> None:
    assert keep_conventions(b"a\r\nb\r\n", b"a\nc\r\n") == b"a\r\nc\r\n"
    assert keep_conventions(b"a\nb\n", b"a\nc\n") == b"a\nc\n"
    assert keep_conventions(b"a\r\nb\n", b"a\nb\r\n") == b"a\nb\r\n"
    assert keep_conventions(b"\xef\xbb\xbfa\n", b"b\n") == b"\xef\xbb\xbfb\n"


def test_leftovers_of_a_killed_engine_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".app.py.selfheal-0123abcd.tmp").write_bytes(b"half")
    (tmp_path / "app.py").write_bytes(b"whole")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_bytes(b"old")
    tmp_path.chmod(0o500)
    with pytest.raises(SelfhealError, match="cannot write"):
        write(path, b"new")
