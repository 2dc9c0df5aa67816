"""What the engine remembers: episodes, decisions and what they teach, on a crash-safe store.

`open_history(path)` is a `tinydb.TinyDB` whose every commit is one checksummed line of an
append-only journal; `EpisodicMemory` keeps the engine's own documents on it.
"""

from selfheal_engine.episodic_memory.memory import EpisodicMemory
from selfheal_engine.episodic_memory.same_patch import patch_key
from selfheal_engine.episodic_memory.table import History, open_history

__all__ = ["EpisodicMemory", "History", "open_history", "patch_key"]
