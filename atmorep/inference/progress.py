"""How far a prediction is, on a terminal."""

from __future__ import annotations

import sys
import time


class Progress:
    """Counts what is done of ``total`` on standard error, where that is a terminal; a context manager."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done, self._began = what, total, 0, time.monotonic()
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print(file=sys.stderr)

    def add(self, number: int) -> None:
        """Count ``number`` more."""
        self._done += number
        if self._shown:
            seconds = time.monotonic() - self._began
            left = seconds / self._done * (self._total - self._done)
            text = f"\r{self._what}: {self._done} of {self._total} neighbourhoods, {left:.0f} s left "
            print(text, end="", file=sys.stderr, flush=True)
