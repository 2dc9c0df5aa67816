"""queue, asyncio.queues and the executors: instances are remembered when they are made.

A LifoQueue is no waiting line: libraries keep their free connections in one, last used first.
"""

from __future__ import annotations

from selfheal_agent import queues

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

    from selfheal_agent.capture import Capture


def watch_queue(module: Any, _capture: Capture) -> None:
    queues.remember(module.Queue, queues.queues_made, but=module.LifoQueue)


def watch_threads(module: Any, _capture: Capture) -> None:
    queues.remember(module.ThreadPoolExecutor, queues.executors_made)


def watch_processes(module: Any, _capture: Capture) -> None:
    queues.remember(module.ProcessPoolExecutor, queues.executors_made)
