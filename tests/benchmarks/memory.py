"""Measures the history: `python tests/benchmarks/memory.py [upstream|insert|open|kill|...]`.

Each part prints one line per figure and the whole exits 1 when a goal is missed. `upstream`
downloads the source archive of the installed TinyDB with pip and runs TinyDB's own tests on
this store; nothing downloaded is kept. `disk` needs a user namespace for its own small tmpfs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tinydb

from selfheal_engine.episodic_memory import open_history
from selfheal_engine.errors import HistoryError

Part = Callable[[Path], bool]

NOT_OURS = {
    "test_json_kwargs": "how JSONStorage indents its JSON",
    "test_json_read": "JSONStorage's access_mode",
    "test_json_invalid_mode_warning": "JSONStorage's access_mode",
    "test_create_dirs": "JSONStorage's create_dirs; this store makes its folder",
    "test_json_invalid_directory": "JSONStorage's create_dirs; this store makes its folder",
    "test_encoding": "JSONStorage's encoding; this store is UTF-8",
}
"""Upstream tests of the constructor options of one other storage class."""

STAND_IN = """
import tinydb, tinydb.database, tinydb.storages, tinydb.table
from selfheal_engine.episodic_memory.storage import JournalStorage
from selfheal_engine.episodic_memory.table import History, JournalTable

class Handle:
    def __init__(self, storage):
        self.storage = storage
    @property
    def closed(self):
        return self.storage._descriptor < 0

class JSONStorage(JournalStorage):
    def __init__(self, path, **how_the_json_looks):
        super().__init__(path)
        self._handle = Handle(self)

class Table(JournalTable):
    pass

class TinyDB(History):
    table_class = Table
    default_storage_class = JSONStorage

JSONStorage.__module__ = "tinydb.storages"
tinydb.JSONStorage = tinydb.storages.JSONStorage = JSONStorage
tinydb.TinyDB = tinydb.database.TinyDB = TinyDB
tinydb.table.Table = Table
"""
"""Puts this store in the place of TinyDB's own classes, wherever its tests name them."""


def episode(number: int) -> dict[str, object]:
    """About 1.5 KB, like a healed incident with its diff."""
    line = f"-        return order.customer.address.city  # {number}\n"
    return {
        "id": f"incident-{number}",
        "number": number,
        "title": f"TypeError, checkout.py:{number % 900}",
        "fingerprint": f"{number % 997:016x}",
        "state": "healed",
        "strategy": "null_check",
        "diff": line * 15,
        "steps": [{"time_s": 1.7e9 + number, "what": what} for what in ("open", "applied")],
        "mttr_s": 12.5,
    }


def upstream(folder: Path) -> bool:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    subprocess.run(
        [*pip, f"tinydb=={tinydb.__version__}", "-d", str(folder)],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    with tarfile.open(next(folder.glob("tinydb-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    (folder / "stand_in.py").write_text(STAND_IN)
    suite = folder / f"tinydb-{tinydb.__version__}"
    shutil.rmtree(suite / "tinydb")
    words = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir=.", "tests"]
    words += ["-p", "stand_in", "-p", "no:cacheprovider", "--tb=short"]
    words += [f"--deselect=tests/test_storages.py::{name}" for name in NOT_OURS]
    done = subprocess.run(
        words, cwd=suite, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True
    )
    print(f"upstream  TinyDB {tinydb.__version__}'s tests: {done.stdout.decode().splitlines()[-1]}")
    for name, why in NOT_OURS.items():
        print(f"          left out: {name} ({why})")
    return done.returncode == 0


def insert(folder: Path) -> bool:
    table = open_history(folder / "history").table("episodes")
    good = True
    for size in (100, 1_000, 10_000, 100_000):
        table.insert_multiple(episode(n) for n in range(len(table), size))
        taken = []
        for number in range(500):
            start = time.perf_counter()
            table.insert(episode(size + number))
            taken.append((time.perf_counter() - start) * 1000)
        taken.sort()
        median, p99 = statistics.median(taken), taken[494]
        print(f"insert    at {size:>7,}: median {median:.2f} ms, p99 {p99:.2f} ms (5, 20)")
        good = good and median <= 5 and p99 <= 20
    return good


def open_(folder: Path) -> bool:
    path = folder / "history"
    history = open_history(path)
    table = history.table("episodes")
    for start in range(0, 100_000, 1000):
        table.insert_multiple(episode(n) for n in range(start, start + 1000))
    history.journal.compact()
    size_mb = path.stat().st_size / 1e6
    start_s = time.perf_counter()
    count = len(open_history(path).table("episodes"))
    taken_s = time.perf_counter() - start_s
    print(f"open      {count:,} episodes, {size_mb:.0f} MB: {taken_s:.2f} s (3)")
    return taken_s <= 3 and count == 100_000


def _write_until_killed(path: Path, number: int, channel: int) -> None:
    """Insert, update and compact without end; say each number after its insert returned."""
    history = open_history(path)
    table = history.table("episodes")
    while True:
        table.insert({"number": number, "filler": "x" * (number % 5000)})
        os.write(channel, b"%d\n" % number)
        number += 1
        if number % 7 == 0:
            table.update({"seen": number}, doc_ids=[1])
        if number % 25 == 0:
            history.journal.compact()


def kill(folder: Path, times: int = 1000) -> bool:
    """kill -9 at random moments; every acknowledged insert must be there, and nothing else."""
    path = folder / "history"
    acknowledged: set[int] = set()
    doubtful: set[int] = set()
    number = 1
    chance = random.Random(7)
    for _ in range(times):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            _write_until_killed(path, number, writing)
        os.close(writing)
        time.sleep(chance.random() * 0.06)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with open(reading, "rb") as said:
            numbers = [int(line) for line in said.read().splitlines()]
        acknowledged.update(numbers)
        doubtful.add(numbers[-1] + 1 if numbers else number)
        number = max(doubtful) + 1
        if len(acknowledged) > 3000:  # keep the file small enough to be rewritten in time
            found = {doc["number"] for doc in open_history(path).table("episodes")}
            if not acknowledged <= found <= acknowledged | doubtful:
                break
            path.unlink()
            acknowledged.clear()
            doubtful.clear()
    found = {doc["number"] for doc in open_history(path).table("episodes")}
    lost, wrong = acknowledged - found, found - acknowledged - doubtful
    print(
        f"kill      {times:,} x kill -9, the last at number {number:,}: "
        f"{len(lost)} lost, {len(wrong)} invented (0, 0)"
    )
    return not lost and not wrong


def truncate(folder: Path) -> bool:
    """Every prefix of a file opens with exactly the commits that are whole in it."""
    path = folder / "history"
    history = open_history(path)
    sizes = [path.stat().st_size]
    for number in range(8):
        history.table("episodes").insert({"number": number, "text": "é" * number * 7})
        sizes.append(path.stat().st_size)
    content = path.read_bytes()
    wrong = 0
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        found = [doc["number"] for doc in open_history(path).table("episodes")]
        whole = sum(length >= size - 1 for size in sizes[1:])
        wrong += found != list(range(whole))
    print(f"truncate  at every one of {len(content):,} bytes: {wrong} wrong (0)")
    return not wrong


def flips(folder: Path, times: int = 10_000) -> bool:
    """One flipped bit: refused with a sentence, never a wrong or missing episode."""
    path = folder / "history"
    history = open_history(path)
    for number in range(40):
        history.table("episodes").insert(episode(number))
    content = path.read_bytes()
    before = list(history.table("episodes"))
    chance = random.Random(11)
    refused = wrong = 0
    for _ in range(times):
        damaged = bytearray(content)
        damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            wrong += list(open_history(path).table("episodes")) != before
        except HistoryError:
            refused += 1
        wrong += path.read_bytes() != damaged
    print(f"flips     {times:,} bit flips: {refused:,} refused, {wrong} wrong (0)")
    return not wrong


DISK = """
import json, os, sys
from selfheal_engine.episodic_memory import open_history
from selfheal_engine.errors import HistoryError
path = sys.argv[1] + "/history"
table = open_history(path).table("episodes")
kept = refused = 0
while refused < 200:
    try:
        table.insert({"number": kept, "text": "x" * 3000})
        kept += 1
    except HistoryError:
        refused += 1
found = [doc["number"] for doc in open_history(path).table("episodes")]
print(json.dumps([kept, refused, found == list(range(kept))]))
"""


def disk(folder: Path) -> bool:
    """A tmpfs of 4 MB in a namespace of its own, written until it is full and beyond."""
    place = folder / "disk"
    place.mkdir()
    command = f'mount -t tmpfs -o size=4m tmpfs {place} && exec {sys.executable} -c "$0" {place}'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command, DISK],
        capture_output=True,
    )
    if done.returncode:
        print(f"disk      not measured: {done.stderr.decode().strip()[-200:]}")
        return False
    kept, refused, whole = json.loads(done.stdout)
    print(f"disk      full: {kept:,} acknowledged, {refused} refused, all there: {whole} (True)")
    return bool(whole)


FOUR = """
import sys
from selfheal_engine.episodic_memory import open_history
table = open_history(sys.argv[1]).table("episodes")
for number in range(int(sys.argv[3])):
    table.insert({"writer": sys.argv[2], "number": number})
"""


def writers(folder: Path, each: int = 1000) -> bool:
    """Four processes insert at once; every insert is there once, under an id of its own."""
    path = folder / "history"
    start_s = time.perf_counter()
    words = [sys.executable, "-c", FOUR, str(path)]
    running = [subprocess.Popen([*words, str(writer), str(each)]) for writer in range(4)]
    failed = sum(process.wait() != 0 for process in running)
    taken_s = time.perf_counter() - start_s
    found = sorted((doc["writer"], doc["number"]) for doc in open_history(path).table("episodes"))
    whole = found == sorted((str(w), n) for w in range(4) for n in range(each))
    print(
        f"writers   4 x {each:,} inserts in {taken_s:.1f} s: {failed} failed, "
        f"every one there once: {whole} (0, True)"
    )
    return whole and not failed


PARTS: dict[str, Part] = {
    "upstream": upstream,
    "insert": insert,
    "open": open_,
    "kill": kill,
    "truncate": truncate,
    "flips": flips,
    "disk": disk,
    "writers": writers,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    wanted = parser.parse_args().parts or list(PARTS)
    good = True
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="selfheal-bench-") as folder:
            good = PARTS[name](Path(folder)) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
