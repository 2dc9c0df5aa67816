"""A real terminal for end-to-end tests: a tmux server of its own, keys in, text out."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path


class Terminal:
    """One tmux window running one command; polls for text and never waits a fixed time."""

    def __init__(
        self, folder: Path, command: str, *, cwd: Path, env: dict[str, str], size: str = "120x40"
    ) -> None:
        self._socket = str(folder / "tmux.sock")
        columns, _, lines = size.partition("x")
        # the pane stays after the command, so that its last words and exit code can be read
        script = f"cd {shlex.quote(str(cwd))} && {command}; echo exit code $?; exec sleep 600"
        alone = " ".join(f"{name}={shlex.quote(value)}" for name, value in env.items())
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", lines,
                   f"exec env -i {alone} sh -c {shlex.quote(script)}")  # fmt: skip

    def text(self) -> str:
        """What is on the screen now."""
        return self._tmux("capture-pane", "-p")

    def send(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, lines: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(lines))

    def wait_for(self, *texts: str, most_s: float) -> str:
        """The screen once it shows one of `texts`; fails with the screen after `most_s`."""
        deadline = time.monotonic() + most_s
        while True:
            screen = self.text()
            if any(text in screen for text in texts):
                return screen
            if time.monotonic() > deadline:
                raise AssertionError(f"no {' or '.join(texts)!r} within {most_s} s on\n{screen}")
            time.sleep(0.2)

    def close(self) -> None:
        subprocess.run(
            ["tmux", "-S", self._socket, "kill-server"], capture_output=True, check=False
        )

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"tmux {words[0]}: {done.stderr}")
        return done.stdout
