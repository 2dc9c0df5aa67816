"""The journal survives what happens to files and processes."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tinydb import where

from selfheal_engine.episodic_memory import journal, open_history
from selfheal_engine.episodic_memory.salvage import salvage_history
from selfheal_engine.episodic_memory.storage import JournalStorage
from selfheal_engine.errors import HistoryError


def numbers(path: Path) -> list[int]:
    return [document["number"] for document in open_history(path).table("episodes")]


def fill(path: Path, count: int) -> list[int]:
    """Insert 0..count-1; the file's size after each, the empty file's first."""
    table = open_history(path).table("episodes")
    sizes = [path.stat().st_size]
    for number in range(count):
        table.insert({"number": number, "text": "é" * number})
        sizes.append(path.stat().st_size)
    return sizes


def test_a_commit_is_one_line_that_a_person_can_read(path: Path) -> None:
    open_history(path).table("episodes").insert({"title": "TypeError"})
    header, line = path.read_text().splitlines()
    assert json.loads(header.split(" ", 2)[2])["version"] == 1
    assert json.loads(line.split(" ", 2)[2])["set"] == {"1": {"title": "TypeError"}}


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    fill(path, 1)
    assert path.stat().st_mode & 0o777 == 0o600


def test_cut_at_every_byte_the_whole_commits_remain(path: Path) -> None:
    sizes = fill(path, 6)
    content = path.read_bytes()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        whole = sum(length >= size - 1 for size in sizes[1:])
        assert numbers(path) == list(range(whole)), length


def test_after_a_torn_tail_the_next_commit_is_whole(path: Path) -> None:
    fill(path, 3)
    with path.open("ab") as file:
        file.write(b"0123456789abcdef 500 {")
    open_history(path).table("episodes").insert({"number": 3})
    assert numbers(path) == [0, 1, 2, 3]


def test_a_flipped_bit_is_refused_and_the_file_left_alone(path: Path) -> None:
    fill(path, 5)
    content = path.read_bytes()
    chance = random.Random(3)
    for _ in range(300):
        damaged = bytearray(content)
        damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(HistoryError, match=r"damaged|newer|no history"):
            open_history(path)
        assert path.read_bytes() == damaged


@pytest.mark.parametrize("what", ["lost", "doubled", "swapped"])
def test_lines_that_moved_are_damage(path: Path, what: str) -> None:
    fill(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    moved = {
        "lost": [*lines[:2], *lines[3:]],
        "doubled": [*lines[:2], lines[1], *lines[2:]],
        "swapped": [lines[0], lines[2], lines[1], *lines[3:]],
    }
    path.write_bytes(b"".join(moved[what]))
    with pytest.raises(HistoryError, match="damaged"):
        open_history(path)


def test_salvage_keeps_every_line_that_verifies(path: Path) -> None:
    fill(path, 5)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"number", b"nimber")
    path.write_bytes(b"".join(lines))
    salvaged = salvage_history(path)
    assert salvaged is not None
    assert (salvaged.kept, salvaged.lost) == (4, 1)
    assert salvaged.damaged.read_bytes() == b"".join(lines)
    assert numbers(path) == [0, 1, 3, 4]
    assert salvage_history(path) is None


def test_a_newer_format_is_refused_politely(path: Path) -> None:
    header = json.dumps({"format": "selfheal-tui history", "version": 9}).encode()
    line, _ = journal.seal(journal.START, header)
    path.write_bytes(line)
    with pytest.raises(HistoryError, match="newer selfheal-tui"):
        open_history(path)
    assert path.read_bytes() == line


def test_some_other_file_is_refused(path: Path) -> None:
    path.write_text("once upon a time")
    with pytest.raises(HistoryError):
        open_history(path)
    assert path.read_text() == "once upon a time"


def test_a_stock_tinydb_file_is_taken_over_and_kept(path: Path) -> None:
    stock = json.dumps({"episodes": {"1": {"number": 0}, "7": {"number": 1}}, "empty": {}})
    path.write_text(stock)
    history = open_history(path)
    assert history.tables() == {"episodes", "empty"}
    assert history.table("episodes").insert({"number": 2}) == 8
    assert numbers(path) == [0, 1, 2]
    assert path.with_name(path.name + ".v0").read_text() == stock


def test_compaction_keeps_the_documents_and_drops_the_dead(path: Path) -> None:
    history = open_history(path)
    table = history.table("episodes")
    table.insert_multiple({"number": n, "filler": "x" * 500} for n in range(20))
    for round_ in range(50):
        table.update({"filler": "y" * 500, "round": round_}, doc_ids=[1])
    before = path.stat().st_size
    history.journal.compact()
    assert path.stat().st_size < before / 2
    assert numbers(path) == list(range(20))
    assert table.insert({"number": 20}) == 21


def test_a_change_that_changes_nothing_is_not_written(path: Path) -> None:
    sizes = fill(path, 2)
    open_history(path).table("episodes").update({"number": 0}, doc_ids=[1])
    assert path.stat().st_size == sizes[-1]


def test_a_journal_of_dead_text_compacts_itself(path: Path) -> None:
    storage = JournalStorage(path, compact_bytes=20_000)
    for _ in range(200):
        storage.write({"states": {"1": {"text": os.urandom(500).hex()}}})
    assert path.stat().st_size < 60_000


def test_another_process_sees_commits_and_compactions(path: Path) -> None:
    mine, theirs = open_history(path), open_history(path)
    mine.table("episodes").insert({"number": 1})
    assert [doc["number"] for doc in theirs.table("episodes")] == [1]
    theirs.journal.compact()
    assert mine.table("episodes").insert({"number": 2}) == 2
    theirs.table("episodes").update({"seen": True})
    assert all(doc["seen"] for doc in mine.table("episodes").all())
    assert theirs.table("episodes").insert({"number": 3}) == 3


def test_the_query_cache_never_hides_what_another_process_wrote(path: Path) -> None:
    mine, theirs = open_history(path), open_history(path)
    mine.table("t").insert({"n": 1})
    assert len(mine.table("t").search(where("n") > 0)) == 1
    theirs.table("t").insert({"n": 2})
    assert len(mine.table("t").search(where("n") > 0)) == 2


def test_a_full_disk_is_said_and_loses_nothing(path: Path) -> None:
    fill(path, 3)
    table = open_history(path).table("episodes")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # the kernel writes up to the limit and then refuses, as a full disk does
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, hard))
        for _ in range(3):
            with pytest.raises(HistoryError, match="cannot write"):
                table.insert({"number": 99, "text": "x" * 500})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert [doc["number"] for doc in table] == [0, 1, 2]
    table.insert({"number": 3})
    assert numbers(path) == [0, 1, 2, 3]


WRITER = """
import sys
from selfheal_engine.episodic_memory import open_history
table = open_history(sys.argv[1]).table("episodes")
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 100):
    table.insert({"number": number})
"""


def test_four_processes_may_write_at_once(path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(start)])
        for start in (0, 100, 200, 300)
    ]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    assert sorted(numbers(path)) == list(range(400))


def test_threads_may_write_at_once(path: Path) -> None:
    table = open_history(path).table("episodes")

    def write(start: int) -> None:
        for number in range(start, start + 50):
            table.insert({"number": number})

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 50, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers(path)) == list(range(150))


def test_kill_9_while_writing_loses_nothing_acknowledged(path: Path) -> None:
    for start in range(0, 600, 100):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            table = open_history(path).table("episodes")
            for number in range(start, start + 100):
                table.insert({"number": number, "filler": "x" * 3000})
                os.write(writing, b".")
            os._exit(0)
        os.close(writing)
        with open(reading, "rb", buffering=0) as said:
            seen = len(said.read(1))
            while seen < 5 + start // 20:
                seen += len(said.read(1))
            os.kill(child, signal.SIGKILL)
            seen += len(said.read())
        os.waitpid(child, 0)
        found = [number for number in numbers(path) if number >= start]
        assert found in (
            list(range(start, start + seen)),
            list(range(start, start + seen + 1)),
        )


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError, match="choose --state"):
        open_history(tmp_path / "file" / "history")
