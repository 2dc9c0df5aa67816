"""The history is a TinyDB: its API, its meaning, and its independence from what callers do."""

from __future__ import annotations

from pathlib import Path

import pytest
from tinydb import Query, TinyDB, where
from tinydb.middlewares import CachingMiddleware
from tinydb.operations import add, delete
from tinydb.storages import MemoryStorage
from tinydb.table import Document

from selfheal_engine.episodic_memory import open_history
from selfheal_engine.episodic_memory.storage import JournalStorage
from selfheal_engine.episodic_memory.table import History


def test_the_history_is_a_tinydb(path: Path) -> None:
    assert isinstance(open_history(path), TinyDB)


def test_documents_are_there_after_reopening(path: Path) -> None:
    history = open_history(path)
    ids = history.table("episodes").insert_multiple([{"a": 1}, {"a": 2}, {"a": 3}])
    history.table("episodes").update({"b": True}, Query().a == 2)
    history.table("episodes").remove(doc_ids=[ids[2]])
    history.insert({"in": "the default table"})
    history.close()
    again = open_history(path)
    assert again.table("episodes").all() == [{"a": 1}, {"a": 2, "b": True}]
    assert again.all() == [{"in": "the default table"}]
    assert again.tables() == {"episodes", "_default"}


def test_operations_queries_and_upsert_work(path: Path) -> None:
    table = open_history(path).table("t")
    table.insert_multiple({"n": n, "tags": ["x"]} for n in range(5))
    table.update(add("n", 10), where("n") >= 3)
    table.update(delete("tags"), doc_ids=[1])
    assert table.upsert({"n": 0, "new": 1}, where("n") == 0) == [1]
    assert table.upsert({"n": 99}, where("n") == 99) == [6]
    assert table.update_multiple([({"low": True}, where("n") < 2), (add("n", 1), where("n") > 90)])
    assert [doc["n"] for doc in table] == [0, 1, 2, 13, 14, 100]
    assert table.count(where("low") == True) == 2  # noqa: E712 - TinyDB's query syntax
    assert table.get(doc_ids=[1, 2]) == [table.get(doc_id=1), table.get(doc_id=2)]


def test_an_updater_that_fails_changes_nothing(path: Path) -> None:
    table = open_history(path).table("t")
    table.insert_multiple([{"n": 1}, {"s": "text"}])
    with pytest.raises(KeyError):
        table.update(add("n", 1))
    assert table.all() == open_history(path).table("t").all() == [{"n": 1}, {"s": "text"}]


def test_what_json_cannot_hold_is_refused_whole(path: Path) -> None:
    table = open_history(path).table("t")
    with pytest.raises(TypeError):
        table.insert_multiple([{"good": 1}, {"bad": object()}])
    assert table.all() == open_history(path).table("t").all() == []


def test_changing_a_result_does_not_change_the_history(path: Path) -> None:
    table = open_history(path).table("t")
    mine = {"steps": [1]}
    table.insert(mine)
    mine["steps"].append(2)
    for found in (table.all()[0], table.get(doc_id=1), table.search(where("steps").exists())[0]):
        found["steps"].append(3)
    assert table.all() == table.search(where("steps").exists()) == [{"steps": [1]}]


def test_ids_are_given_documents_own_or_the_next(path: Path) -> None:
    table = open_history(path).table("t")
    assert table.insert(Document({"a": 1}, doc_id=40)) == 40
    assert table.insert({"a": 2}) == 41
    with pytest.raises(ValueError, match="already exists"):
        table.insert(Document({"a": 3}, doc_id=41))
    table.truncate()
    assert table.insert({"a": 4}) == 1


def test_dropped_tables_stay_dropped(path: Path) -> None:
    history = open_history(path)
    history.table("a").insert({"n": 1})
    history.table("b").insert({"n": 2})
    history.drop_table("a")
    assert open_history(path).tables() == {"b"}
    history.drop_tables()
    assert open_history(path).tables() == set()
    assert history.table("a").insert({"n": 3}) == 1


def test_stock_tables_and_middlewares_work_on_the_storage(path: Path) -> None:
    with TinyDB(path, storage=CachingMiddleware(JournalStorage)) as stock:
        stock.insert_multiple([{"n": 1}, {"n": 2}])
        stock.update({"n": 3}, where("n") == 2)
    with TinyDB(path, storage=JournalStorage) as stock:
        stock.remove(where("n") == 1)
    assert open_history(path).all() == [{"n": 3}]


def test_our_table_is_a_stock_table_on_other_storages() -> None:
    history = History(storage=MemoryStorage)
    history.insert_multiple([{"n": 1}, {"n": 2}])
    history.update({"n": 5}, where("n") == 2)
    history.remove(where("n") == 1)
    assert history.all() == history.search(where("n") == 5) == [history.get(doc_id=2)]
    assert history.upsert({"n": 6}, where("n") == 5) == [2]
    history.drop_table("_default")
    assert history.tables() == set()


def test_text_that_is_no_unicode_survives(path: Path) -> None:
    open_history(path).insert({"name": "caf\udce9 \N{SNOWMAN}", "line": "a\u2028b\nc"})
    assert open_history(path).all() == [{"name": "caf\udce9 \N{SNOWMAN}", "line": "a\u2028b\nc"}]
