"""`EpisodicMemory`: the engine's documents on the history.

Two kinds of file. `history.jsonl` grows slowly and is kept: episodes, rejected patches, learned
counts, for all services. `services/<name>/incidents.jsonl` is the write-ahead record of one
service's incidents that have not ended: small, rewritten often, and emptied for good when an
incident is forgotten, because it holds recorded values.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from tinydb import Query
from tinydb.table import Document, Table

from selfheal_engine.codec import from_plain, to_plain
from selfheal_engine.episodic_memory import priors as learned
from selfheal_engine.episodic_memory.same_patch import patch_key
from selfheal_engine.episodic_memory.similarity import most_similar
from selfheal_engine.episodic_memory.statistics import healing_stats
from selfheal_engine.episodic_memory.storage import collector_paused
from selfheal_engine.episodic_memory.table import History, open_history
from selfheal_engine.errors import HistoryError
from selfheal_engine.healer.applied import Applied
from selfheal_engine.model import Episode, HealingStats, Incident

HISTORY_FILE = "history.jsonl"
INCIDENTS_FILE = "incidents.jsonl"
PRIORS_FORMAT = "selfheal-tui priors"


class EpisodicMemory:
    """Everything that outlives one run of the engine. Raises HistoryError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._history = open_history(folder / HISTORY_FILE)
        self._incidents: History | None = None
        self._service = ""
        self._parsed: dict[str, tuple[dict[str, Any], Episode]] = {}
        self._read: list[Episode] = []
        self._read_at = -1
        self._episodes = self._history.table("episodes")
        self._rejections = self._history.table("rejections")
        self._applied = self._history.table("applied")
        self._learned = self._history.table("learned")

    def for_service(self, name: str) -> None:
        """Write ahead for this service from now on; its engine's incidents are its own."""
        self.close_incidents()
        self._service = name

    def close(self) -> None:
        self._history.close()
        self.close_incidents()

    def close_incidents(self) -> None:
        """Let go of the write-ahead record; the next use opens it again."""
        if self._incidents is not None:
            self._incidents.close()
        self._incidents = None

    # ------------------------------------------------------------ episodes
    def add(self, episode: Episode) -> None:
        """Remember how an incident ended; a second record of the same id replaces the first."""
        self._episodes.upsert(to_plain(episode), Query().id == episode.id)

    def episodes(self, *, limit: int = 0, **filters: object) -> list[Episode]:
        """Episodes whose fields equal `filters`, newest first; `limit` 0: all."""
        unknown = filters.keys() - {field.name for field in fields(Episode)}
        if unknown:
            raise HistoryError(f"an episode has no field {min(unknown)!r}")
        found = [
            episode
            for episode in self._newest_first()
            if all(getattr(episode, name) == wanted for name, wanted in filters.items())
        ]
        return found[:limit] if limit else found

    def _newest_first(self) -> list[Episode]:
        """Every episode; each is parsed once, and again only when its document changed."""
        journal = self._history.journal
        with journal.reading():
            documents = journal.documents("episodes") or {}
            if self._read_at != journal.generation:
                before, self._parsed = self._parsed, {}
                with collector_paused():
                    for key, document in documents.items():
                        known = before.get(key)
                        if known is None or known[0] is not document:
                            known = (document, from_plain(Episode, document))
                        self._parsed[key] = known
                self._read = [episode for _, episode in self._parsed.values()]
                self._read.sort(key=lambda story: (story.ended_s, story.number), reverse=True)
                self._read_at = journal.generation
            return self._read

    def episode(self, episode_id: str) -> Episode | None:
        """The episode with this id."""
        found = self._episodes.get(Query().id == episode_id)
        return from_plain(Episode, found) if isinstance(found, Document) else None

    def remember_applied(self, episode_id: str, applied: Applied) -> None:
        """Keep what it takes to roll an episode's patch back later."""
        document = {"episode": episode_id, "applied": to_plain(applied)}
        self._applied.upsert(document, Query().episode == episode_id)

    def applied(self, episode_id: str) -> Applied | None:
        """What `remember_applied` kept for the episode."""
        found = self._applied.get(Query().episode == episode_id)
        return from_plain(Applied, found["applied"]) if isinstance(found, Document) else None

    def kept_originals(self) -> set[str]:
        """Hashes of every original that a roll-back from the history would need."""
        return {
            str(digest)
            for document in self._applied
            for field in ("originals", "patched")
            for _, digest in document["applied"][field]
        }

    def rolled_back(self, episode_id: str, reason: str) -> None:
        """A healing of the past was taken back: it counts as a failure from now on."""
        fields_ = {"state": "rolled_back", "reason": reason, "mttr_s": None}
        self._episodes.update(fields_, Query().id == episode_id)

    def precedents(self, service: str, now_s: float) -> list[Episode]:
        """What policy needs of a service's past: every roll-back with the healings of the same
        bug, and whatever ended within a day.
        """
        with self._history.journal.reading():
            every = (self._history.journal.documents("episodes") or {}).values()
            mine = [document for document in every if document["service"] == service]
        taken_back = {d["fingerprint"] for d in mine if d["state"] == "rolled_back"}
        return [
            from_plain(Episode, document)
            for document in mine
            if document["state"] in ("healed", "rolled_back")
            and (
                document["fingerprint"] in taken_back
                or document.get("ended_s", 0.0) > now_s - 86400
            )
        ]

    def similar(
        self, fingerprint: str, bug_type: str = "", exception: str = "", *, limit: int = 5
    ) -> list[Episode]:
        """Past episodes that resemble an incident, most alike first; see `similarity`."""
        return most_similar(self.episodes(), fingerprint, bug_type, exception)[:limit]

    def stats(self) -> HealingStats:
        """Figures over the whole history; each documented in `statistics`."""
        return healing_stats(self.episodes())

    def prune(self, *, older_than_s: float | None = None, keep: int | None = None) -> int:
        """Forget episodes that ended more than `older_than_s` ago or exceed the newest `keep`.

        What they taught stays in the learned counts. Returns how many were forgotten.
        """
        limit_s = -1.0 if older_than_s is None else time.time() - older_than_s
        with self._history.journal.reading():
            documents = list((self._history.journal.documents("episodes") or {}).values())
        if keep is not None:
            documents.sort(key=lambda d: (d.get("ended_s", 0.0), d["number"]), reverse=True)
        gone = [
            from_plain(Episode, document)
            for position, document in enumerate(documents)
            if document.get("ended_s", 0.0) < limit_s or (keep is not None and position >= keep)
        ]
        if not gone:
            return 0
        taught = [outcome for outcome in map(learned.outcome_of, gone) if outcome]
        doomed = {episode.id for episode in gone}
        with self._history.journal.transaction():
            self._store_counts("pruned", learned.tally(taught, self._counts("pruned")))
            self._episodes.remove(Query().id.test(doomed.__contains__))
            self._applied.remove(Query().episode.test(doomed.__contains__))
            self._history.journal.compact()
        return len(gone)

    # ------------------------------------------------------------ decisions and learning
    def reject(
        self,
        fingerprint: str,
        diff: str,
        reason: str,
        *,
        strategy: str = "",
        template: str = "",
        bug_type: str = "",
        framework: str = "",
        service: str = "",
    ) -> None:
        """A person does not want this patch for this bug: it is never shown again."""
        document = {
            "fingerprint": fingerprint,
            "diff": diff,
            "key": patch_key(diff),
            "reason": reason,
            "strategy": strategy,
            "template": template,
            "bug_type": bug_type,
            "framework": framework,
            "service": service,
            "time_s": time.time(),
        }
        rejection = Query()
        self._rejections.upsert(
            document,
            (rejection.fingerprint == fingerprint) & (rejection.key == document["key"]),
        )

    def rejected(self, fingerprint: str) -> tuple[str, ...]:
        """Diffs rejected for the bug. Compare by `patch_key`, which ignores line numbers."""
        found = self._rejections.search(Query().fingerprint == fingerprint)
        return tuple(document["diff"] for document in found)

    def unwanted(self, fingerprint: str) -> tuple[str, ...]:
        """Diffs not to be tried again for the bug: rejected by a person, or taken back in force."""
        if not fingerprint:
            return self.rejected(fingerprint)
        taken_back = self.episodes(fingerprint=fingerprint, state="rolled_back")
        return (*self.rejected(fingerprint), *(e.diff for e in taken_back if e.diff))

    def priors_for(
        self, bug_type: str, framework: str, service: str
    ) -> dict[str, tuple[float, float]]:
        """`priors` as they stand for an incident like this; see `priors.in_context`."""
        return learned.in_context(self.priors(), bug_type, framework, service)

    def priors(self) -> dict[str, tuple[float, float]]:
        """Beta posteriors (alpha, beta) by "strategy", "strategy/template", "bug_type:strategy",
        "framework <name>:strategy" and "project <service>:strategy"; see `priors` for the formula.
        """
        return learned.posteriors(self._all_counts())

    def export_priors(self) -> str:
        """The learned counts as JSON, without code, data or names of projects."""
        counts = learned.shareable(self._all_counts())
        return json.dumps({"format": PRIORS_FORMAT, "version": 1, "counts": counts}, indent=1)

    def import_priors(self, text: str) -> int:
        """Add another installation's counts, replacing an earlier import. Returns how many keys."""
        try:
            plain = json.loads(text)
            if plain["format"] != PRIORS_FORMAT or plain["version"] != 1:
                raise ValueError("another format or version")
            counts = {str(key): _count_pair(pair) for key, pair in plain["counts"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as why:
            raise HistoryError(
                f"these are no learned priors ({why}): nothing was imported; "
                "make the file with: selfheal-tui history --export-priors FILE"
            ) from None
        self._store_counts("imported", learned.shareable(counts))
        return len(counts)

    # ------------------------------------------------------------ write-ahead
    def write_state(self, incident: Incident, note: dict[str, Any] | None = None) -> None:
        """Put down an incident's state before the step that it announces has any effect."""
        document = {"incident": to_plain(incident), "note": note or {}, "id": incident.id}
        self._states().upsert(Document(document, doc_id=incident.number))

    def unfinished(self) -> list[tuple[Incident, dict[str, Any]]]:
        """Incidents that had not ended when the engine did, oldest first, with their notes."""
        found = [
            (from_plain(Incident, document["incident"]), document["note"])
            for document in self._states()
        ]
        return sorted(found, key=lambda pair: pair[0].number)

    def forget_state(self, incident_id: str) -> None:
        """The incident has ended: remove its record and the recorded values in it for good."""
        journal = self._written_ahead().journal
        with journal.transaction():
            if self._states().remove(Query().id == incident_id):
                journal.compact()

    def next_number(self) -> int:
        """The number for the next incident: one more than any that is remembered."""
        with self._history.journal.reading():
            documents = self._history.journal.documents("episodes") or {}
            numbers = [int(document["number"]) for document in documents.values()]
        numbers += [int(document["incident"]["number"]) for document in self._states()]
        return max(numbers, default=0) + 1

    # ------------------------------------------------------------ inside
    def _states(self) -> Table:
        return self._written_ahead().table("states")

    def _written_ahead(self) -> History:
        if self._incidents is None:
            folder = self.folder / "services" / self._service if self._service else self.folder
            self._incidents = open_history(folder / INCIDENTS_FILE)
        return self._incidents

    def _outcomes(self) -> Iterable[learned.Outcome]:
        for episode in self.episodes():
            outcome = learned.outcome_of(episode)
            if outcome is not None:
                yield outcome
        for document in self._rejections:
            if document.get("strategy"):
                yield learned.Outcome(
                    False,
                    document["strategy"],
                    document["template"],
                    document.get("bug_type", ""),
                    document.get("framework", ""),
                    document.get("service", ""),
                )

    def _all_counts(self) -> learned.Tally:
        start = self._counts("pruned")
        for key, (successes, failures) in self._counts("imported").items():
            before = start.get(key, (0.0, 0.0))
            start[key] = (before[0] + successes, before[1] + failures)
        return learned.tally(self._outcomes(), start)

    def _counts(self, origin: str) -> learned.Tally:
        found = self._learned.get(Query().origin == origin)
        counts = found["counts"] if isinstance(found, Document) else {}
        return {key: (float(pair[0]), float(pair[1])) for key, pair in counts.items()}

    def _store_counts(self, origin: str, counts: learned.Tally) -> None:
        document = {"origin": origin, "counts": to_plain(counts)}
        self._learned.upsert(document, Query().origin == origin)


def _count_pair(pair: Any) -> tuple[float, float]:
    successes, failures = float(pair[0]), float(pair[1])
    if not (0 <= successes < float("inf") and 0 <= failures < float("inf")):
        raise ValueError("a count is negative or not finite")
    return successes, failures
