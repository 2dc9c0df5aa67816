"""The trail: what was done lately, newest first."""

import time

SHOWN = 50


class Trail:
    def __init__(self):
        self._actions = []

    def record(self, who, what, body):
        self._actions.append({"at": time.time(), "who": who, "what": what, "body": body})

    def latest(self, count=SHOWN):
        """The newest actions; never more than SHOWN."""
        return [
            {"who": action["who"], "what": action["what"], "size": len(action["body"])}
            for action in list(self._actions)[-min(count, SHOWN) :][::-1]
        ]
