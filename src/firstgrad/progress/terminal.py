"""Progress in a terminal: the bottom rows, kept apart from all that scrolls above.

The terminal is told to scroll only the rows above ours (DECSTBM), as apt does. So what others print, and live displays
that others draw with Rich, stay whole, without anything being patched or redirected. Rich sets the text.
"""

from __future__ import annotations

import io
import os
from itertools import cycle
from typing import TYPE_CHECKING

from firstgrad.progress.render import account, activity, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from firstgrad.progress.snapshot import Snapshot

_SAVE, _RESTORE, _DOWN, _CLEAR = "\x1b7", "\x1b8", "\x1bD", "\x1b[2K"
_ROWS_LEFT = 3
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Terminal:
    """Draws in the bottom rows of a terminal, and gives them back.

    Parameters
    ----------
    stream : text file
        A terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._stream = stream
        self._rows, self._size = 0, os.terminal_size((0, 0))
        self._spinner = cycle(_SPINNER)
        self._paper = io.StringIO()
        self._console = Console(file=self._paper, force_terminal=True, markup=False, highlight=False, emoji=False)

    def draw(self, snapshots: Sequence[Snapshot]) -> None:
        """Draw two rows of a single thread, or a row each of several."""
        if not snapshots:
            self._release()
            return
        sign = next(self._spinner)
        if len(snapshots) == 1:
            lines = [(sign, activity(snapshots[0])), (" ", account(snapshots[0]))]
        else:
            lines = [(sign, one_line(each)) for each in snapshots]
        size = os.get_terminal_size(self._stream.fileno())
        lines = lines[: max(size.lines - _ROWS_LEFT, 0)]
        if (len(lines), size) != (self._rows, self._size):
            self._release()
            self._reserve(len(lines), size)
        first = size.lines - self._rows + 1
        drawn = [
            f"\x1b[{first + number};1H{_CLEAR}{self._set(mark, text, dim=number > 0 and len(snapshots) == 1)}"
            for number, (mark, text) in enumerate(lines)
        ]
        self._write(f"{_SAVE}{''.join(drawn)}{_RESTORE}")

    def close(self, conclusion: str) -> None:
        """Give the rows back; a terminal keeps no conclusion."""
        del conclusion
        self._release()

    def _reserve(self, rows: int, size: os.terminal_size) -> None:
        """Move what stands there up, and let only the rows above scroll."""
        self._rows, self._size = rows, size
        if rows:
            self._write(f"{_DOWN * rows}{_SAVE}\x1b[1;{size.lines - rows}r{_RESTORE}\x1b[{rows}A")

    def _release(self) -> None:
        if self._rows:
            lines = range(self._size.lines - self._rows + 1, self._size.lines + 1)
            cleared = "".join(f"\x1b[{line};1H{_CLEAR}" for line in lines)
            self._write(f"{_SAVE}{cleared}\x1b[r{_RESTORE}")
            self._rows = 0

    def _set(self, mark: str, text: str, *, dim: bool) -> str:
        """Have Rich set one line: no wider than the terminal, in the colours that it has."""
        from rich.text import Text

        line = Text.assemble((mark, "bold green"), " ", (text, "dim" if dim else ""))
        line.truncate(self._size.columns - 1, overflow="ellipsis")
        self._console.width = self._size.columns
        self._console.print(line, end="", soft_wrap=True)
        drawn = self._paper.getvalue()
        self._paper.seek(0)
        self._paper.truncate()
        return drawn

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
