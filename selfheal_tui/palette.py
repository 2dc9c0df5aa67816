"""The command palette's entries: the actions of this screen, those everywhere, the incidents."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from selfheal_tui.actions import ACTIONS, EVERYWHERE, Action, applies, keys_of
from selfheal_tui.screens.base import CockpitScreen

if TYPE_CHECKING:
    from selfheal_tui.app import SelfhealApp


class ActionCommands(Provider):
    """Everything the registry knows that makes sense on the present screen."""

    @property
    def _cockpit(self) -> SelfhealApp:
        return cast("SelfhealApp", self.app)

    def _actions(self) -> list[Action]:
        scope = self.screen.scope if isinstance(self.screen, CockpitScreen) else ""
        return [
            action
            for action in ACTIONS
            if action.scope in (scope, EVERYWHERE)
            and action.name != "palette"
            and applies(action, self._cockpit.latest)
        ]

    def _title(self, action: Action) -> str:
        key = keys_of(action, self._cockpit.key_overrides)[0]
        return f"{key:<4} {action.help}"

    async def discover(self) -> Hits:
        for action in self._actions():
            run = partial(self._cockpit.run_registered, action.id)
            yield DiscoveryHit(self._title(action), run)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action in self._actions():
            title = self._title(action)
            score = max(matcher.match(title), matcher.match(action.name))
            if score > 0:
                run = partial(self._cockpit.run_registered, action.id)
                yield Hit(score, matcher.highlight(title), run)
        view = self._cockpit.view
        for incident in view.incidents if view else ():
            title = f"Review #{incident.number} {incident.title}"
            score = matcher.match(title)
            if score > 0:
                run = partial(self._cockpit.open_review, incident.id)
                yield Hit(score, matcher.highlight(title), run)
