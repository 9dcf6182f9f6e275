from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.live import Live

from firstgrad.measuring.events import Finished, MemoryNow, PassBegan, PhaseBegan, PhaseEnded, Started, UnitsNow
from firstgrad.phase import Phase
from firstgrad.record import PhaseRecord
from firstgrad.show import display
from firstgrad.show.display import LOG_SECONDS, Progress, show_progress
from helpers import MIB, FakeClock, make_record


def began(phase):
    return PhaseBegan(phase=phase, at_seconds=0.0)


def ended(phase, seconds):
    return PhaseEnded(record=PhaseRecord(phase=phase, began_seconds=0.0, wall_seconds=seconds, cpu_seconds=seconds))


def memory(size, processes=1):
    return MemoryNow(at_seconds=0.0, rss_bytes=size, processes=processes)


def test_elapsed_time_goes_on_through_a_compile_that_says_nothing():
    clock = FakeClock()
    progress = Progress("pose, numba", clock)
    assert progress.line() == "pose, numba: starting 0.0 s · 0.0 s in all · 0 B"
    clock.tick(0.5)
    progress.apply(Started(monotonic_seconds=0.0))
    progress.apply(began(Phase.IMPORT))
    progress.apply(memory(100 * MIB))
    clock.tick(2.0)
    assert progress.line() == "pose, numba: import 2.0 s · 2.0 s in all · 100 MiB"
    progress.apply(ended(Phase.IMPORT, 2.0))
    progress.apply(began(Phase.FIRST_CALL))
    lines = []
    for _ in range(3):
        clock.tick(50.0)
        lines.append(progress.line())
    assert lines == [
        "pose, numba: first_call 50.0 s · 52.0 s in all · 100 MiB",
        "pose, numba: first_call 100.0 s · 102.0 s in all · 100 MiB",
        "pose, numba: first_call 150.0 s · 152.0 s in all · 100 MiB",
    ]
    assert progress.done() == "import 2.00 s"


def test_the_rewrite_pass_the_memory_and_the_compilers_are_shown():
    progress, clock = progressed(began(Phase.REWRITE))
    clock.tick(1.5)
    progress.apply(PassBegan(name="canonicalize", number=3, total=30, nodes=1200))
    progress.apply(memory(1536 * MIB, processes=3))
    assert progress.line() == (
        "x: rewrite 1.5 s · pass 3 of 30, canonicalize, 1200 nodes · 1.5 s in all · 1.50 GiB · 3 processes"
    )
    progress.apply(ended(Phase.REWRITE, 1.5))
    progress.apply(began(Phase.LINK))
    assert "canonicalize" not in progress.line()


def progressed(*events, **options):
    """A progress that starts a sample and is told these events, and its clock."""
    clock = FakeClock()
    progress = Progress("x", clock, **options)
    for event in (Started(monotonic_seconds=0.0), *events):
        progress.apply(event)
    return progress, clock


def test_between_phases_it_is_preparing_and_after_the_last_one_checking():
    progress, _ = progressed(began(Phase.IMPORT), ended(Phase.IMPORT, 1.0))
    assert progress.line().startswith("x: preparing")
    progress, clock = progressed(began(Phase.EVALUATE), ended(Phase.EVALUATE, 1.0))
    clock.tick(3.0)
    assert progress.line() == "x: checking 3.0 s · 3.0 s in all · 0 B"
    progress.apply(Finished(record=make_record()))
    assert progress.line().startswith("x: checking")


def test_the_next_sample_starts_from_nothing():
    clock = FakeClock()
    progress = Progress("x", clock)
    for event in (Started(monotonic_seconds=0.0), began(Phase.BUILD), ended(Phase.BUILD, 1.0)):
        progress.apply(event)
        clock.tick(1.0)
    progress.apply(Started(monotonic_seconds=9.0))
    assert progress.line() == "x: starting 0.0 s · 0.0 s in all · 0 B"
    assert progress.done() == ""


def test_units_are_shown_while_they_are_compiled():
    progress, _ = progressed(began(Phase.FIRST_CALL), UnitsNow(compiled=606))
    assert progress.line() == "x: first_call 0.0 s · 606 units compiled · 0.0 s in all · 0 B"
    progress.apply(ended(Phase.FIRST_CALL, 1.0))
    progress.apply(began(Phase.EVALUATE))
    assert "606" not in progress.line()


def test_what_is_left_is_told_from_former_samples_of_each_process_in_turn():
    assert "left" not in progressed(expected_seconds=[None])[0].line()
    progress, clock = progressed(expected_seconds=[100.0, 10.0])
    clock.tick(40.0)
    assert "some 60.0 s left" in progress.line()
    clock.tick(61.0)
    assert "longer than former samples" in progress.line()
    for _ in range(2):  # the last number holds for all that follow
        progress.apply(Started(monotonic_seconds=0.0))
        clock.tick(4.0)
        assert "some 6.00 s left" in progress.line()


def logged(write_events):
    """Lines of a log, where there is no terminal."""
    clock, file = FakeClock(), io.StringIO()
    with show_progress("x", console=Console(file=file), clock=clock) as tell:
        write_events(tell, clock)
    return file.getvalue().splitlines()


def test_a_log_gets_a_line_for_each_phase_and_now_and_then_in_a_long_one():
    def write_events(tell, clock):
        tell(Started(monotonic_seconds=0.0))
        tell(began(Phase.BUILD))
        clock.tick(1.0)
        tell(ended(Phase.BUILD, 1.0))
        tell(began(Phase.FIRST_CALL))
        for _ in range(200):  # a silent compile of 25 s: only the watcher speaks
            clock.tick(0.125)
            tell(memory(10 * MIB))
        tell(ended(Phase.FIRST_CALL, 25.0))

    assert LOG_SECONDS == 10.0
    assert logged(write_events) == [
        "x: build 0.0 s · 0.0 s in all · 0 B",
        "x: first_call 0.0 s · 1.0 s in all · 0 B",
        "x: first_call 10.0 s · 11.0 s in all · 10.0 MiB",
        "x: first_call 20.0 s · 21.0 s in all · 10.0 MiB",
    ]


def test_a_log_has_no_control_characters_and_is_not_wrapped():
    lines = logged(
        lambda tell, _: [tell(began(Phase.REWRITE)), tell(PassBegan(name="n" * 200, number=1, total=1, nodes=1))]
    )
    assert all(line.isprintable() for line in lines)


class Live8(Live):
    """Rich's live line, which a test can look at and which draws when the test says so, not by a thread."""

    made: list[Live8] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, *args, **options):
        self.options = options
        super().__init__(*args, **options | {"auto_refresh": False})
        self.made.append(self)


@pytest.fixture
def live(monkeypatch):
    monkeypatch.setattr(display, "Live", Live8)
    monkeypatch.setattr(Live8, "made", [])
    return Live8.made


def test_a_terminal_is_drawn_anew_without_any_event(live):
    clock, file = FakeClock(), io.StringIO()
    console = Console(file=file, force_terminal=True, width=100)
    with show_progress("x", console=console, clock=clock) as tell:
        (drawing,) = live
        # Rich's own thread draws, so often, whatever the measured process says.
        assert drawing.options["refresh_per_second"] >= 5
        assert drawing.options.get("auto_refresh", True)
        tell(Started(monotonic_seconds=0.0))
        tell(began(Phase.LINK))
        drawn = []
        for _ in range(10):
            clock.tick(0.2)
            file.seek(0)
            file.truncate()
            drawing.refresh()
            drawn.append(file.getvalue())
    for number, text in enumerate(drawn, start=1):
        assert f"x: link {number * 0.2:.1f} s · {number * 0.2:.1f} s in all" in text


def test_a_terminal_shows_the_phases_that_ended(live):
    clock, file = FakeClock(), io.StringIO()
    with show_progress("x", console=Console(file=file, force_terminal=True, width=100), clock=clock) as tell:
        tell(began(Phase.IMPORT))
        tell(ended(Phase.IMPORT, 0.25))
        tell(began(Phase.BUILD))
        live[0].refresh()
    assert "import 250 ms" in file.getvalue()


def test_rich_really_draws_by_itself():
    # The one thing the tests above take for granted: a thread of Rich's asks for the text again.
    from threading import Event as Signal

    asked = [Signal() for _ in range(3)]

    class Clock(FakeClock):
        def __call__(self):
            for signal in asked:
                if not signal.is_set():
                    signal.set()
                    break
            return super().__call__()

    with show_progress("x", console=Console(file=io.StringIO(), force_terminal=True), clock=Clock()):
        for signal in asked:
            signal.clear()  # forget what drawing it for the first time asked
        assert all(signal.wait(timeout=5.0) for signal in asked)
