"""Who draws, and in which words: a terminal's bottom rows, a notebook's output, lines of a log, or nobody."""

from __future__ import annotations

import html
import io
import os
import sys
import time
from contextlib import suppress
from itertools import cycle
from typing import TYPE_CHECKING, Any, Protocol

from firstgrad.observe.events import Stage, UnitKind
from firstgrad.units import clean_line, format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from firstgrad.progress.look import CompileSummary, StackLook, UnitCount, WatchedThread

LOG_SECONDS = 10.0

STAGES = {
    Stage.IMPORT: "import",
    Stage.BUILD: "build the model",
    Stage.INITIAL_POINT: "initial point",
    Stage.LOGP_GRAPH: "logp graph",
    Stage.GRAD_GRAPH: "gradient graph",
    Stage.REWRITE: "rewrite",
    Stage.LINK: "link and compile",
    Stage.FIRST_CALL: "first call",
    Stage.CALL: "call",
    Stage.SAMPLE: "sampling",
    Stage.OTHER: "working",
}
"""Stages, as people read them."""

_KINDS = {
    UnitKind.C_MODULE: "C module",
    UnitKind.JITTED_FUNCTION: "jitted function",
    UnitKind.XLA_MODULE: "XLA module",
}
_APART = 3.0
_NAME_LENGTH = 48
_LEAST_SECONDS = 1.0
_DRAW_EVERY = 2

_SAVE, _RESTORE, _DOWN, _CLEAR = "\x1b7", "\x1b8", "\x1bD", "\x1b[2K"
_ROWS_LEFT = 3
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class CompileDisplay(Protocol):
    """Who shows the watched threads."""

    def draw(self, threads: Sequence[WatchedThread]) -> None:
        """Show these and nothing else; none: show nothing."""

    def close(self, conclusion: str) -> None:
        """Leave the place as it was; `conclusion` is there to be kept, '' where nothing was compiled."""


def choose_display(stream: TextIO | None, every_seconds: float) -> CompileDisplay:
    """Choose by where the text goes: where the user wants it, else to the notebook's cell or standard error."""
    if stream is None and is_notebook():
        return Notebook()
    target = stream or sys.stderr
    if target is None:  # a program without a console
        return Nobody()
    if _is_terminal(target) and os.environ.get("TERM", "") not in {"", "dumb"}:
        return Terminal(target)

    def write(text: str) -> None:
        target.write(text)
        with suppress(AttributeError):  # a line is of use while the compile runs; not all that has write() has flush()
            target.flush()

    return Log(write, every_seconds=every_seconds)


def is_notebook() -> bool:
    """Whether this process is a Jupyter kernel."""
    ipython = sys.modules.get("IPython")  # a program that has not imported it runs in no kernel
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


def _is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal; one that is closed, or only has ``write``, is none."""
    with suppress(AttributeError, ValueError, OSError):
        return stream.isatty()
    return False


class Nobody:
    """Draws nothing."""

    def draw(self, threads: Sequence[WatchedThread]) -> None:
        """Draw nothing."""

    def close(self, conclusion: str) -> None:
        """Keep nothing."""


class Terminal:
    """Draws in the bottom rows of a terminal, and gives them back.

    The terminal is told to scroll only the rows above ours (DECSTBM), as apt does: what others print stays whole,
    without anything being patched or redirected.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._stream = stream
        self._rows, self._size = 0, os.terminal_size((0, 0))
        self._spinner = cycle(_SPINNER)
        self._paper = io.StringIO()
        self._console = Console(file=self._paper, force_terminal=True, markup=False, highlight=False, emoji=False)

    def draw(self, threads: Sequence[WatchedThread]) -> None:
        """Draw two rows of a single thread, or a row each of several."""
        if not threads:
            self._release()
            return
        sign = next(self._spinner)
        if len(threads) == 1:
            lines = [(sign, activity(threads[0])), (" ", account(threads[0]))]
        else:
            lines = [(sign, one_line(thread)) for thread in threads]
        size = os.get_terminal_size(self._stream.fileno())
        lines = lines[: max(size.lines - _ROWS_LEFT, 0)]
        if (len(lines), size) != (self._rows, self._size):
            self._release()
            self._reserve(len(lines), size)
        first = size.lines - self._rows + 1
        drawn = [
            f"\x1b[{first + number};1H{_CLEAR}{self._set(mark, text, dim=number > 0 and len(threads) == 1)}"
            for number, (mark, text) in enumerate(lines)
        ]
        self._write(f"{_SAVE}{''.join(drawn)}{_RESTORE}")

    def close(self, conclusion: str) -> None:
        """Give the rows back, and leave what `firstgrad trace` would say; how it went was there to be seen."""
        self._release()
        _, _, sentences = conclusion.partition("\n")
        if sentences:
            self._write(f"{sentences}\n")

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


class CellOutput:
    """A text in the output of the cell that made it, updated by its display id; made in the cell's own thread."""

    def __init__(self) -> None:
        from IPython.display import display

        self._text = ""
        self._handle: Any = display(_bundle(""), raw=True, display_id=True)

    def update(self, text: str) -> None:
        """Show another text."""
        if text != self._text:
            self._text = text
            self._handle.update(_bundle(text), raw=True)


class Notebook:
    """Shows watched threads in the output of the cell that made it."""

    def __init__(self) -> None:
        self._draws = 0
        self._output = CellOutput()

    def draw(self, threads: Sequence[WatchedThread]) -> None:
        """Show the text; every second time, as each update is a message to the browser."""
        self._draws += 1
        if self._draws % _DRAW_EVERY == 1 or not threads:
            self._output.update("\n".join(f"{activity(thread)}\n  {account(thread)}" for thread in threads))

    def close(self, conclusion: str) -> None:
        """Leave the conclusion in the notebook."""
        self._output.update(conclusion)


def _bundle(text: str) -> dict[str, str]:
    style = "margin:0;white-space:pre-wrap"
    return {"text/plain": text, "text/html": f'<pre style="{style}">{html.escape(text)}</pre>' if text else ""}


class Log:
    """Writes a line when the stage changes, for a second at least, and one now and then in a long stage."""

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        every_seconds: float = LOG_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._every, self._clock = write, every_seconds, clock
        self._wrote: dict[tuple[int, str], tuple[Stage, float]] = {}

    def draw(self, threads: Sequence[WatchedThread]) -> None:
        """Write a line of those that changed stage or were silent for long."""
        now = self._clock()
        for thread in threads:
            who = thread.thread_id, thread.title
            stage, wrote = self._wrote.setdefault(who, (Stage.OTHER, now - _LEAST_SECONDS))
            since = now - wrote
            changed = thread.look.stage not in {stage, Stage.OTHER} and since >= _LEAST_SECONDS
            if changed or since >= self._every:
                self._wrote[who] = thread.look.stage, now
                self._write(f"{one_line(thread)}\n")

    def close(self, conclusion: str) -> None:
        """Write how it went."""
        if conclusion:
            self._write(f"{conclusion}\n")


def one_line(thread: WatchedThread) -> str:
    """Say all that is known of a thread in one line."""
    return f"{activity(thread)} · {account(thread)}"


def activity(thread: WatchedThread) -> str:
    """Say what is going on: stage, pass, node, unit."""
    look = thread.look
    parts = [f"{STAGES[look.stage]} {thread.stage_seconds:.1f} s"]
    if look.node_total:
        parts.append(f"node {look.node_number} of {look.node_total}")
    elif look.pass_total:
        parts.append(f"pass {look.pass_number} of {look.pass_total}, {look.pass_name}, {look.nodes} nodes")
    if look.package and look.unit_kind is None:
        parts.append(f"importing {look.package}")
    title = f"{thread.title}: " if thread.title else ""
    return clean_line(title + " · ".join(filter(None, [*parts, _doing(look)])))


def _doing(look: StackLook) -> str:
    name = look.unit if len(look.unit) <= _NAME_LENGTH else f"{look.unit[: _NAME_LENGTH - 1]}…"
    if look.reads_cache:
        return f"loading {name} from cache".replace("  ", " ")
    if look.unit_kind is not None:
        return f"compiling {name or _KINDS[look.unit_kind]}"
    return name


def account(thread: WatchedThread) -> str:
    """Say what was done so far, at what price, and how long it still takes."""
    parts = _count_units(thread.units)
    if thread.is_cache_seen and not any(count.from_cache for count in thread.units):
        parts.append("some from cache")
    parts.append(f"{thread.elapsed_seconds:.1f} s in all")
    if thread.rss_bytes is not None:
        parts.append(format_bytes(thread.rss_bytes))
    if thread.processes > 1:
        parts.append(f"{thread.processes} processes")
    if (expected := thread.expected) is not None:
        left = f"about {_rough(expected.seconds)}"
        if expected.high_seconds > _APART * max(expected.low_seconds, 1.0):
            left = f"{_rough(expected.low_seconds)} to {_rough(expected.high_seconds)}"
        parts.append(f"{left} s left ({format_count(expected.runs, 'former run')})")
    return " · ".join(parts)


def conclude(summary: CompileSummary, title: str = "") -> str:
    """Say in one line how it went."""
    parts = [
        f"{STAGES[stage]} {format_seconds(seconds)}"
        for stage, seconds in summary.stage_seconds
        if stage.is_compile and seconds
    ]
    named = f"{clean_line(title)}: " if title else ""
    return " · ".join([f"{named}done in {format_seconds(summary.seconds)}", *parts, *_took(summary)])


def _took(summary: CompileSummary) -> list[str]:
    peak = summary.peak_rss_bytes
    return [*_count_units(summary.units), *([] if peak is None else [f"up to {format_bytes(peak)}"])]


def summary_html(summary: CompileSummary) -> str:
    """Write how it went as HTML for a notebook: a bar a stage, in the notebook's own colours, and what was compiled."""
    stages = [(stage, seconds) for stage, seconds in summary.stage_seconds if seconds]
    most = max((seconds for _, seconds in stages), default=0.0)
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left;font-weight:normal">{STAGES[stage]}</th>'
        f'<td style="text-align:right">{format_seconds(seconds)}</td><td style="min-width:12em;text-align:left">'
        f'<div style="width:{100 * seconds / most:.1f}%;height:.8em;background:#E69F00"></div></td></tr>'
        for stage, seconds in stages
    )
    caption = " · ".join([f"done in {format_seconds(summary.seconds)}", *_took(summary)])
    sentences = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in summary.sentences)
    table = f'<table><caption style="text-align:left">{html.escape(caption)}</caption><tbody>{rows}</tbody></table>'
    return f"{table}{sentences}"


def _count_units(counts: Sequence[UnitCount]) -> list[str]:
    """Say of each kind how many units were compiled and how many not."""
    texts = []
    for count in counts:
        kind, cached = _KINDS[count.kind], count.from_cache or 0
        compiled = f"{format_count(count.compiled, kind)} compiled" if count.compiled else ""
        what = f"{cached:,}" if compiled else format_count(cached, kind)
        texts.append(", ".join(filter(None, (compiled, f"{what} from cache" if cached else ""))))
    return [text for text in texts if text]


def _rough(seconds: float) -> str:
    """Round so that the number does not claim more than it knows: to seconds, above a minute to tens."""
    return f"{max(seconds, 1):.0f}" if seconds < 60 else f"{round(seconds, -1):.0f}"  # noqa: PLR2004 - a minute
