"""Progress in a Jupyter notebook: one output that is updated by its display id. Widgets are not needed."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from firstgrad.progress.render import account, activity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.progress.snapshot import Snapshot

_DRAW_EVERY = 2


class Notebook:
    """Shows and updates an output of the cell that made it. Make it in the cell's own thread."""

    def __init__(self) -> None:
        from IPython.display import display

        self._text = ""
        self._draws = 0
        self._handle: Any = display(_bundle(""), raw=True, display_id=True)

    def draw(self, snapshots: Sequence[Snapshot]) -> None:
        """Show the text; every second time, as each update is a message to the browser."""
        self._draws += 1
        if self._draws % _DRAW_EVERY == 1 or not snapshots:
            self._update("\n".join(f"{activity(each)}\n  {account(each)}" for each in snapshots))

    def close(self, conclusion: str) -> None:
        """Leave the conclusion in the notebook."""
        self._update(conclusion)

    def _update(self, text: str) -> None:
        if text != self._text:
            self._text = text
            self._handle.update(_bundle(text), raw=True)


def _bundle(text: str) -> dict[str, str]:
    style = "margin:0;white-space:pre-wrap"
    return {"text/plain": text, "text/html": f'<pre style="{style}">{html.escape(text)}</pre>' if text else ""}
