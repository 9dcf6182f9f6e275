"""The text of what is known of a watched thread, and who draws it where."""

from __future__ import annotations

import io
import os
from types import SimpleNamespace

import pyte
import pytest

from firstgrad.observe.events import Stage, UnitKind
from firstgrad.progress.displays import (
    STAGES,
    Log,
    Nobody,
    Terminal,
    account,
    activity,
    choose_display,
    conclude,
    one_line,
)
from firstgrad.progress.history import ExpectedTime
from firstgrad.progress.look import CompileSummary, StackLook, UnitCount
from helpers import MIB, FakeClock

CANONICALIZE = StackLook(
    stage=Stage.REWRITE,
    pass_name="canonicalize",  # noqa: S106 - a rewrite pass
    pass_number=12,
    pass_total=44,
    nodes=812,
)


def shown(**fields):
    """What a display reads of a watched thread: of one that rewrites, but for these fields."""
    known = {
        "title": "pose",
        "look": CANONICALIZE,
        "stage_seconds": 1.25,
        "elapsed_seconds": 12.3,
        "units": (),
        "is_cache_seen": False,
        "rss_bytes": 456 * MIB,
        "processes": 1,
        "expected": None,
        "thread_id": 0,
    }
    return SimpleNamespace(**known | fields)


def compiling(**fields):
    known = {
        "title": "",
        "look": StackLook(stage=Stage.FIRST_CALL, unit="kernel", unit_kind=UnitKind.JITTED_FUNCTION),
        "stage_seconds": 2.0,
        "elapsed_seconds": 46.0,
        "units": (UnitCount(kind=UnitKind.JITTED_FUNCTION, compiled=34),),
        "is_cache_seen": True,
        "rss_bytes": None,
        "expected": ExpectedTime(seconds=152.0, low_seconds=150.0, high_seconds=160.0, runs=3),
    }
    return shown(**known | fields)


REWRITING, COMPILING = shown(), compiling()
LINKING = shown(
    look=StackLook(stage=Stage.LINK, node_number=4, node_total=15, unit="Elemwise(Add)", unit_kind=UnitKind.C_MODULE),
    units=(UnitCount(kind=UnitKind.C_MODULE, compiled=0, from_cache=1),),
    processes=3,
)
WORDS = [
    (REWRITING, "pose: rewrite 1.2 s · pass 12 of 44, canonicalize, 812 nodes · 12.3 s in all · 456 MiB"),
    (
        COMPILING,
        "first call 2.0 s · compiling kernel · 34 jitted functions compiled · some from cache · 46.0 s in all · "
        "about 150 s left (3 former runs)",
    ),
    (
        LINKING,
        "pose: link and compile 1.2 s · node 4 of 15 · compiling Elemwise(Add) · "
        "1 C module from cache · 12.3 s in all · 456 MiB · 3 processes",
    ),
]


@pytest.mark.parametrize(("thread", "text"), WORDS)
def test_a_thread_in_words(thread, text):
    assert one_line(thread) == text


def test_counts_of_both_kinds_in_words():
    units = (UnitCount(kind=UnitKind.XLA_MODULE, compiled=1, from_cache=2),)
    assert account(shown(units=units)).startswith("1 XLA module compiled, 2 from cache · ")


@pytest.mark.parametrize(
    ("low", "middle", "high", "text"),
    [
        (150.0, 152.0, 160.0, "about 150 s left (2 former runs)"),
        (7.0, 101.0, 195.0, "7 to 200 s left (2 former runs)"),
        (0.2, 0.3, 2.0, "about 1 s left (2 former runs)"),
    ],
)
def test_remaining_time_does_not_claim_more_than_it_knows(low, middle, high, text):
    expected = ExpectedTime(seconds=middle, low_seconds=low, high_seconds=high, runs=2)
    assert account(shown(expected=expected)).endswith(text)


def test_a_long_name_is_cut():
    long = compiling(look=StackLook(unit="x" * 500))
    assert len(activity(long)) < 100
    assert "…" in activity(long)


def test_every_stage_has_words():
    assert set(STAGES) == set(Stage)


def test_the_conclusion_lists_what_was_compiled():
    summary = CompileSummary(
        seconds=12.34,
        stage_seconds=((Stage.OTHER, 1.0), (Stage.REWRITE, 0.25), (Stage.LINK, 11.0), (Stage.SAMPLE, 5.0)),
        units=(UnitCount(kind=UnitKind.C_MODULE, compiled=9, from_cache=0),),
        peak_rss_bytes=276 * MIB,
    )
    assert conclude(summary, "pose") == (
        "pose: done in 12.3 s · rewrite 250 ms · link and compile 11.0 s · 9 C modules compiled · up to 276 MiB"
    )


def logged(*drawings, every=1.0):
    """Lines of a log that is asked to draw these, one after the other."""
    clock, lines = FakeClock(), []
    log = Log(lines.append, every_seconds=10.0, clock=clock)
    for threads in drawings:
        log.draw(threads)
        clock.tick(every)
    return [line.split(" 1.2 s")[0].split(" 2.0 s")[0] for line in lines]


BARE = shown(title="")


A_LOG_HAS_LINES = {
    "when the stage changes": ([[BARE], [BARE], [COMPILING]], 2.0, ["rewrite", "first call"]),
    "now and then in a long stage": ([[COMPILING]] * 31, 1.0, ["first call"] * 4),
    "not at every flicker": ([[BARE], [COMPILING]] * 10, 0.1, ["rewrite", "first call"]),
    "two threads apart": (
        [[compiling(title="one"), shown(title="two")]] * 3,
        2.0,
        ["one: first call", "two: rewrite"],
    ),
    "two threads without titles apart": (
        [[shown(title="", thread_id=1), compiling(thread_id=2)]] * 9,
        1.0,
        ["rewrite", "first call"],
    ),
}


@pytest.mark.parametrize(("drawings", "every", "lines"), A_LOG_HAS_LINES.values(), ids=A_LOG_HAS_LINES)
def test_a_log_has_lines(drawings, every, lines):
    assert logged(*drawings, every=every) == lines


def test_a_log_ends_with_the_conclusion_where_there_is_one():
    lines = []
    log = Log(lines.append)
    log.close("")
    log.close("done in 1 s")
    assert lines == ["done in 1 s\n"]


class Paper(io.StringIO):
    """Stands for a terminal of ten rows."""

    def fileno(self):
        return 7

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(os, "get_terminal_size", lambda _=1: os.terminal_size((60, 10)))
    paper, screen = Paper(), pyte.Screen(60, 10)
    stream = pyte.Stream(screen)

    class Drawn:
        display = Terminal(paper)

        def rows(self):
            stream.feed(paper.getvalue())
            paper.seek(0)
            paper.truncate()
            return [row.rstrip() for row in screen.display]

        def prints(self, text):
            self.rows()
            stream.feed(text.replace("\n", "\r\n"))

    Drawn.screen = screen
    return Drawn()


def test_a_terminal_shows_two_rows_at_the_bottom(terminal):
    terminal.display.draw([REWRITING])
    rows = terminal.rows()
    assert rows[8].startswith("⠋ pose: rewrite 1.2 s · pass 12 of 44")
    assert rows[9] == "  12.3 s in all · 456 MiB"
    assert not any(rows[:8])


def test_a_row_is_never_wider_than_the_terminal_and_names_in_brackets_are_no_markup(terminal):
    terminal.display.draw([shown(title="long" * 50)])
    rows = terminal.rows()
    assert rows[8].endswith("…")
    assert rows[9] == "  12.3 s in all · 456 MiB"
    terminal.display.draw([shown(title="model[red]")])
    assert "model[red]:" in terminal.rows()[8]


def test_what_others_print_scrolls_above(terminal):
    terminal.prints("before")
    terminal.display.draw([REWRITING])
    terminal.prints(" and after\n" + "".join(f"line {number}\n" for number in range(20)))
    terminal.display.draw([COMPILING])
    rows = terminal.rows()
    assert rows[:7] == [f"line {number}" for number in range(13, 20)]
    assert rows[8].startswith("⠙ first call 2.0 s")


def test_a_line_that_was_begun_goes_on_where_it_was(terminal):
    terminal.prints("before")
    terminal.display.draw([REWRITING])
    terminal.prints(" and after")
    assert terminal.rows()[0] == "before and after"


@pytest.mark.parametrize("how", ["close", "draw nothing"])
def test_the_rows_are_given_back(terminal, how):
    terminal.prints("kept\n" * 12)
    terminal.display.draw([REWRITING])
    terminal.rows()
    if how == "close":
        terminal.display.close("done")
    else:
        terminal.display.draw([])
    rows = terminal.rows()
    assert set(rows) <= {"kept", ""}
    assert rows[-2:] == ["", ""]
    margins = terminal.screen.margins
    assert margins is None or (margins.top, margins.bottom) == (0, 9)


def test_two_threads_have_a_row_each(terminal):
    terminal.display.draw([REWRITING])
    terminal.display.draw([shown(title="one"), compiling(title="two"), COMPILING])
    rows = terminal.rows()
    assert [row[2:6] for row in rows[7:]] == ["one:", "two:", "firs"]


@pytest.mark.parametrize(
    ("is_terminal", "term", "expected"), [(True, "xterm", Terminal), (True, "dumb", Log), (False, "xterm", Log)]
)
def test_the_stream_chooses_the_display(monkeypatch, is_terminal, term, expected):
    monkeypatch.setenv("TERM", term)
    paper = Paper()
    monkeypatch.setattr(paper, "isatty", lambda: is_terminal)
    assert type(choose_display(paper, 10.0)) is expected


def test_a_line_is_in_the_file_while_the_compile_runs(tmp_path):
    path = tmp_path / "log"
    with path.open("w") as file:
        choose_display(file, 10.0).draw([REWRITING])
        assert path.read_text().startswith("pose: rewrite 1.2 s")


def test_what_only_writes_and_a_closed_stream_get_a_log_and_no_console_gets_nothing(monkeypatch):
    lines = []
    choose_display(SimpleNamespace(write=lines.append), 10.0).close("done")  # as some loggers put in a file's place
    assert lines == ["done\n"]
    stream = io.StringIO()
    stream.close()
    assert isinstance(choose_display(stream, 10.0), Log)
    monkeypatch.setattr("sys.stderr", None)
    assert isinstance(choose_display(None, 10.0), Nobody)


def test_a_notebook_shows_a_summary_as_a_table_of_stages():
    summary = CompileSummary(
        seconds=12.5,
        stage_seconds=((Stage.REWRITE, 2.5), (Stage.CALL, 0.0), (Stage.LINK, 10.0)),
        units=(UnitCount(kind=UnitKind.JITTED_FUNCTION, compiled=7),),
        peak_rss_bytes=300 * MIB,
    )
    text = summary._repr_html_()
    assert "done in 12.5 s · 7 jitted functions compiled · up to 300 MiB" in text
    assert text.count("<tr>") == 2
    assert "width:25.0%" in text
    assert "width:100.0%" in text
    assert CompileSummary()._repr_html_().count("<tr>") == 0
