"""TinyDB on the journal: a table that writes only what changed, and the database around it.

TinyDB's own table rebuilds and rewrites everything at each change; its documented hooks
`_read_table` and `_update_table` let this one hand over just the changed documents, so an
insert costs the same in a history of a hundred episodes and of a hundred thousand.
Everything else - queries, operations, ids, the query cache - stays TinyDB's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from tinydb import TinyDB
from tinydb.queries import QueryLike
from tinydb.table import Document, Table

from selfheal_engine.episodic_memory.storage import Documents, JournalStorage, Operation, fresh


class JournalTable(Table):
    """A TinyDB table that commits its changes as one line; on other storages a stock table."""

    _seen = -1

    @property
    def _journal(self) -> JournalStorage | None:
        storage = self._storage
        return storage if isinstance(storage, JournalStorage) else None

    def _read_table(self) -> Any:
        if self._journal is None:
            return super()._read_table()
        return self._journal.documents(self.name) or {}

    def _update_table(self, updater: Callable[[Any], None]) -> None:
        if self._journal is None:
            super()._update_table(updater)
            return
        with self._journal.transaction():
            documents = self._journal.documents(self.name)
            changes = _Changes(documents or {}, self.document_id_class)
            updater(changes)
            operation = changes.operation(self.name)
            if operation is not None or documents is None:
                self._journal.commit([operation or {"table": self.name}])
        self.clear_cache()

    def _get_next_id(self) -> int:
        if self._journal is None:
            stock: Any = super()
            return int(stock._get_next_id())
        counter: Any = self
        next_id: int = max(counter._next_id or 1, self._journal.highest_id(self.name) + 1)
        counter._next_id = next_id + 1
        return next_id

    # ------------------------------------------------------------ ids and lock belong together
    def insert(self, document: Mapping[str, Any]) -> int:
        if self._journal is None:
            return int(super().insert(document))
        with self._journal.transaction():
            return int(super().insert(document))

    def update(
        self,
        fields: Mapping[str, Any] | Callable[[MutableMapping[str, Any]], None],
        cond: QueryLike | None = None,
        doc_ids: Iterable[int] | None = None,
    ) -> list[int]:
        if self._journal is None or cond is None or doc_ids is not None:
            return super().update(fields, cond, doc_ids)
        with self._journal.transaction():
            return super().update(fields, doc_ids=self._matching(cond))

    def remove(
        self, cond: QueryLike | None = None, doc_ids: Iterable[int] | None = None
    ) -> list[int]:
        if self._journal is None or cond is None or doc_ids is not None:
            return super().remove(cond, doc_ids)
        with self._journal.transaction():
            return super().remove(doc_ids=self._matching(cond))

    def upsert(self, document: Mapping[str, Any], cond: QueryLike | None = None) -> list[int]:
        if self._journal is None:
            return super().upsert(document, cond)
        with self._journal.transaction():
            return super().upsert(document, cond)

    # ------------------------------------------------------------ results share nothing with us
    def search(self, cond: QueryLike) -> list[Document]:
        if self._journal is None:
            return super().search(cond)
        with self._journal.reading():
            self._journal.refresh()
            if self._seen != self._journal.generation:
                self.clear_cache()
                self._seen = self._journal.generation
            return [self._copy(found) for found in super().search(cond)]

    def get(self, cond: Any = None, doc_id: Any = None, doc_ids: Any = None) -> Any:
        if self._journal is None:
            return super().get(cond, doc_id, doc_ids)
        with self._journal.reading():
            found = super().get(cond, doc_id, doc_ids)
            if isinstance(found, list):
                return [self._copy(document) for document in found]
            return None if found is None else self._copy(found)

    def __iter__(self) -> Iterator[Document]:
        if self._journal is None:
            yield from super().__iter__()
            return
        with self._journal.reading():
            rows = list(self._read_table().items())
        for doc_id, document in rows:
            yield self.document_class(fresh(document), self.document_id_class(doc_id))

    def _copy(self, document: Document) -> Document:
        return self.document_class(fresh(dict(document)), document.doc_id)

    def _matching(self, cond: QueryLike) -> list[int]:
        return [self.document_id_class(key) for key, doc in self._read_table().items() if cond(doc)]


class History(TinyDB):
    """TinyDB with the journal as its storage. A TinyDB in every respect."""

    table_class = JournalTable
    default_storage_class: Any = JournalStorage

    @property
    def journal(self) -> JournalStorage:
        """The storage, typed as what it is."""
        assert isinstance(self.storage, JournalStorage)
        return self.storage

    def tables(self) -> set[str]:
        storage = self.storage
        return storage.names() if isinstance(storage, JournalStorage) else super().tables()

    def drop_table(self, name: str) -> None:
        storage = self.storage
        if not isinstance(storage, JournalStorage):
            super().drop_table(name)
            return
        self._tables.pop(name, None)
        with storage.transaction():
            if name in storage.names():
                storage.commit([{"drop": name}])


def open_history(path: str | os.PathLike[str]) -> History:
    """Open, or make, the history at `path`. Raises HistoryError."""
    return History(path)


class _Changes(MutableMapping[Any, Any]):
    """What an updater sees as the table: reads through, keeps aside what it touches."""

    def __init__(self, documents: Documents, id_class: Callable[[Any], Any]) -> None:
        self._documents = documents
        self._id_class = id_class
        self._touched: dict[str, Any] = {}
        self._removed: set[str] = set()
        self._cleared = False

    def operation(self, name: str) -> Operation | None:
        """The difference as one operation of the journal; None when nothing changed."""
        old = {} if self._cleared else self._documents
        changed = {
            key: document
            for key, document in self._touched.items()
            if key not in old or old[key] != document
        }
        removed = [key for key in self._removed if key in old]
        operation: Operation = {"table": name}
        if self._cleared and self._documents:
            operation["clear"] = True
        if changed:
            operation["set"] = changed
        if removed:
            operation["del"] = removed
        return operation if len(operation) > 1 else None

    def __getitem__(self, doc_id: Any) -> Any:
        key = str(doc_id)
        if key not in self._touched:
            if key in self._removed or self._cleared:
                raise KeyError(doc_id)
            self._touched[key] = fresh(self._documents[key])
        return self._touched[key]

    def __setitem__(self, doc_id: Any, document: Any) -> None:
        self._touched[str(doc_id)] = document
        self._removed.discard(str(doc_id))

    def __delitem__(self, doc_id: Any) -> None:
        if doc_id not in self:
            raise KeyError(doc_id)
        self._touched.pop(str(doc_id), None)
        self._removed.add(str(doc_id))

    def __contains__(self, doc_id: object) -> bool:
        key = str(doc_id)
        if key in self._touched:
            return True
        return not self._cleared and key in self._documents and key not in self._removed

    def __iter__(self) -> Iterator[Any]:
        old = {} if self._cleared else self._documents
        for key in old:
            if key not in self._removed:
                yield self._id_class(key)
        for key in self._touched:
            if key not in old or key in self._removed:
                yield self._id_class(key)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        self._touched.clear()
        self._removed.clear()
        self._cleared = True
