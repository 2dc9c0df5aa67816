"""A terminal at the end of a line that may be slow, and may drop.

Only cells that change are sent (cells.py). And the app still ends in order when the line
drops: Textual writes from a thread of its own; an error there would leave the app waiting
for room in that thread's queue for ever, with the engine behind it.
"""

from __future__ import annotations

from typing import IO

from textual.drivers.linux_driver import LinuxDriver

from selfheal_tui.cells import CellMemory
from selfheal_tui.plain_characters import in_ascii


class SteadyFile:
    """Passes everything on to the terminal until it fails; from then on takes it and is silent."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.gone = False

    def write(self, text: str) -> int:
        if not self.gone:
            try:
                return self._file.write(text)
            except (OSError, ValueError):
                self.gone = True
        return len(text)

    def flush(self) -> None:
        if not self.gone:
            try:
                self._file.flush()
            except (OSError, ValueError):
                self.gone = True

    def fileno(self) -> int:
        return self._file.fileno()

    def isatty(self) -> bool:
        return self._file.isatty()


class SteadyDriver(LinuxDriver):
    """Textual's own driver, writing no more than it must to a file that never fails."""

    _file: IO[str] | SteadyFile  # type: ignore[assignment]

    def start_application_mode(self) -> None:
        if not isinstance(self._file, SteadyFile):
            self._file = SteadyFile(self._file)
        self._cells = CellMemory()
        settings = getattr(self._app, "settings", None)
        self._ascii = bool(settings and settings.ascii)
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def write(self, data: str) -> None:
        reduced = self._cells.reduce(in_ascii(data) if self._ascii else data)
        if reduced:
            super().write(reduced)

    def forget(self) -> None:
        """The terminal may show something else than was written to it."""
        self._cells.forget()
