"""Who draws: a terminal, a notebook, a log, or nobody."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from firstgrad.progress.snapshot import Snapshot

LOG_SECONDS = 10.0


class Display(Protocol):
    """What takes snapshots, one a watched thread."""

    def draw(self, snapshots: Sequence[Snapshot]) -> None:
        """Show these and nothing else; none: show nothing."""

    def close(self, conclusion: str) -> None:
        """Leave the place as it was; `conclusion` is there to be kept, '' where nothing was compiled."""


class Nobody:
    """Draws nothing."""

    def draw(self, snapshots: Sequence[Snapshot]) -> None:
        """Draw nothing."""

    def close(self, conclusion: str) -> None:
        """Keep nothing."""


def choose_display(stream: TextIO | None, every_seconds: float) -> Display:
    """Choose by where the text goes.

    Parameters
    ----------
    stream : text file, optional
        Where the user wants it; left out: the notebook's cell, or standard error.
    every_seconds : float
        How often a log gets a line at least.

    Returns
    -------
    Display
    """
    if stream is None and _is_notebook():
        from firstgrad.progress.notebook import Notebook

        return Notebook()
    target = stream or sys.stderr
    if target is None:  # a program without a console
        return Nobody()
    if _is_terminal(target) and os.environ.get("TERM", "") not in {"", "dumb"}:
        from firstgrad.progress.terminal import Terminal

        return Terminal(target)
    from firstgrad.progress.log import Log

    def write(text: str) -> None:
        target.write(text)
        with suppress(AttributeError):  # a line is of use while the compile runs; not all that has write() has flush()
            target.flush()

    return Log(write, every_seconds=every_seconds)


def _is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal; one that is closed, or only has ``write``, is none."""
    with suppress(AttributeError, ValueError, OSError):
        return stream.isatty()
    return False


def _is_notebook() -> bool:
    """Whether a Jupyter kernel runs this; a program that has not imported IPython runs in none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None
