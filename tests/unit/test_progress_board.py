"""A watched thread, the counters and the one board of a process."""

from __future__ import annotations

import io
import sys
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

import firstgrad
from firstgrad.observe.events import Stage, UnitKind
from firstgrad.progress import compile_progress as public
from firstgrad.progress.board import BOARDS, THREAD_NAME, Board, WatchedThread
from firstgrad.progress.history import FormerRun
from firstgrad.progress.look import StackLook, UnitCount
from helpers import FakeClock, wait_for


def watch(clock, runs=()):
    return WatchedThread("title", None, runs, clock)


def test_seconds_go_to_the_stage_that_was_seen():
    clock = FakeClock()
    session = watch(clock)
    for stage, seconds in ((Stage.REWRITE, 1.0), (Stage.REWRITE, 2.0), (Stage.LINK, 4.0)):
        clock.tick(seconds)
        session.take(StackLook(stage=stage))
    summary = session.summary()
    assert dict(summary.stage_seconds) == {Stage.REWRITE: 3.0, Stage.LINK: 4.0}
    assert dict(summary.looks) == {Stage.REWRITE: 2, Stage.LINK: 1}
    assert summary.longest_gap_seconds == 4.0


def test_a_snapshot_tells_stage_and_total_time():
    clock = FakeClock()
    session = watch(clock)
    for stage in (Stage.REWRITE, Stage.LINK, Stage.LINK):
        clock.tick(1.0)
        session.take(StackLook(stage=stage))
    snapshot = session.snapshot()
    assert (snapshot.stage_seconds, snapshot.elapsed_seconds) == (2.0, 3.0)


def test_nothing_is_shown_while_sampling_and_after_but_for_another_compile():
    session = watch(FakeClock())
    shown = []
    for look in (
        StackLook(stage=Stage.LINK),
        StackLook(stage=Stage.OTHER),
        StackLook(stage=Stage.SAMPLE),
        StackLook(stage=Stage.SAMPLE, unit_kind=UnitKind.JITTED_FUNCTION),
        StackLook(stage=Stage.OTHER),
        StackLook(stage=Stage.CALL),
        StackLook(stage=Stage.REWRITE),
    ):
        session.take(look)
        shown.append(session.is_visible)
    assert shown == [True, True, False, True, False, False, True]


def test_a_compile_ends_where_sampling_begins():
    clock = FakeClock()
    session = watch(clock, [FormerRun(key="", seconds=100.0)])
    session.take(StackLook(stage=Stage.LINK))
    assert session.snapshot().expected is not None
    clock.tick(5.0)
    session.take(StackLook(stage=Stage.SAMPLE))
    clock.tick(60.0)
    assert session.summary().seconds == 5.0
    assert session.snapshot().expected is None


def test_units_of_before_do_not_count():
    session = watch(FakeClock())
    session.count_from([UnitCount(kind=UnitKind.C_MODULE, compiled=5, from_cache=2)])
    session.count([UnitCount(kind=UnitKind.C_MODULE, compiled=8, from_cache=2)])
    assert session.compiled == 3
    assert not session.is_cache_seen
    assert session.is_cache_first is False


def test_a_first_unit_from_the_cache_is_noted():
    session = watch(FakeClock())
    session.count([UnitCount(kind=UnitKind.C_MODULE, compiled=0, from_cache=0)])
    assert session.is_cache_first is None
    session.count([UnitCount(kind=UnitKind.C_MODULE, compiled=0, from_cache=1)])
    session.count([UnitCount(kind=UnitKind.C_MODULE, compiled=1, from_cache=1)])
    assert session.is_cache_first is True


def test_helpers_written_in_c_do_not_hide_the_backend():
    session = watch(FakeClock())
    for backend in ("c", "jax", "c"):
        session.take(StackLook(backend=backend))
    assert session.backend == "jax"


def test_what_is_never_found_is_told_and_what_is_found_once_is_not():
    session = watch(FakeClock())
    for number in range(6):
        session.take(StackLook(read=(("_gone", False), ("_late", number == 5))))
    assert session.unread == ("_gone",)


def threads():
    return [each for each in threading.enumerate() if each.name == THREAD_NAME]


@dataclass
class Recorder:
    """A display that remembers."""

    drawn: list = field(default_factory=list)
    closed: list = field(default_factory=list)

    def draw(self, snapshots):
        self.drawn.append([each.title for each in snapshots])

    def close(self, conclusion):
        self.closed.append(conclusion)


class Raising(Recorder):
    def draw(self, snapshots):
        super().draw(snapshots)
        raise OSError("the stream is closed")


@pytest.mark.parametrize("kind", [Recorder, Raising])
def test_a_board_draws_while_somebody_is_watched(kind):
    display = kind()
    board = Board(display, counters=())
    session = watch(FakeClock())
    board.join(session)
    wait_for(lambda: display.drawn, what="a drawing")
    assert board.leave(session)
    board.end()
    assert display.drawn[0] == ["title"]
    assert display.closed == [""], "one that fails must give back what it has, too"
    assert threads() == []


def quiet(**options):
    return firstgrad.compile_progress(history=False, stream=io.StringIO(), **options)


def test_a_block_leaves_no_thread():
    with quiet():
        assert len(threads()) == 1
    assert threads() == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_passes_through_and_leaves_no_thread(error):
    with pytest.raises(error), quiet():
        raise error
    assert threads() == []


def test_an_inner_block_does_nothing():
    with quiet() as outer, quiet() as inner:
        assert len(threads()) == 1
    assert inner.summary.seconds == 0.0
    assert outer.summary.seconds > 0.0


def test_a_decorated_function_may_call_itself():
    @quiet()
    def down(number):
        return 0 if number == 0 else 1 + down(number - 1)

    assert down(3) == 3
    assert threads() == []


def test_another_thread_joins_the_display():
    inside, leave = threading.Event(), threading.Event()

    def other():
        with quiet(title="other"):
            inside.set()
            leave.wait(10)

    with quiet(title="first"):
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(10)
        assert len(threads()) == 1
        assert [each.title for each in BOARDS._board.watched] == ["first", "other"]
    assert len(threads()) == 1, "the other is still being watched"
    leave.set()
    thread.join()
    assert threads() == []


def test_a_look_that_comes_while_one_leaves_disturbs_nobody(monkeypatch):
    session = watch(FakeClock())
    session.take(StackLook(stage=Stage.OTHER))

    def looked_at_meanwhile(_stage):
        session.take(StackLook(stage=Stage.BUILD))
        return False

    monkeypatch.setattr(Stage, "is_compile", property(looked_at_meanwhile))
    assert not session.is_compile_seen


def test_what_a_release_does_not_show_is_said_once(monkeypatch):
    monkeypatch.setattr(public, "_WARNED", set())
    monkeypatch.setitem(sys.modules, "numba.core.event", SimpleNamespace())
    with pytest.warns(UserWarning, match="Numba does not tell"), quiet():
        pass
    with quiet():
        pass


# --- what goes wrong in the display never reaches the user's compile, and leaves nothing behind


class Listener:
    """A counter that remembers whether it listens."""

    problem = ""
    listens = False

    def attach(self):
        self.listens = True
        return True

    def detach(self):
        self.listens = False

    def units(self):
        return None


def test_without_a_thread_the_block_runs_all_the_same(monkeypatch):
    counter = Listener()
    monkeypatch.setattr(public, "_WARNED", set())
    monkeypatch.setattr("firstgrad.progress.board.make_counters", lambda: (counter,))
    with monkeypatch.context() as broken:

        def refuse(_):
            raise RuntimeError("can't start new thread")

        broken.setattr(threading.Thread, "start", refuse)
        with pytest.warns(UserWarning, match="no display, as RuntimeError: can't start new thread"), quiet():
            ran = True
    assert ran
    assert not counter.listens
    assert BOARDS._board is None
    with quiet():
        assert len(threads()) == 1


def test_a_ctrl_c_while_the_thread_starts_ends_the_thread(monkeypatch):
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt), quiet():
            pass
    assert BOARDS._board is None
    wait_for(lambda: threads() == [], what="the end of the thread")


def test_an_error_of_ours_at_the_end_stays_ours(monkeypatch):
    monkeypatch.setattr(WatchedThread, "count", lambda *_: 1 / 0)
    with quiet():
        pass
    assert threads() == []
    assert BOARDS._board is None


def test_without_a_home_nothing_is_kept(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", nobody)
    with firstgrad.compile_progress(stream=io.StringIO()) as progress:
        pass
    assert progress.summary.seconds > 0.0


def test_a_reference_whose_store_cannot_be_read_tells_nothing(monkeypatch):
    monkeypatch.setattr("firstgrad.progress.compile_progress.measured_runs", lambda _: 1 / 0)
    with quiet(reference="mine.py:build") as progress:
        pass
    assert progress.summary.seconds > 0.0


def test_one_object_used_again_inside_another_has_an_empty_summary():
    used = quiet()
    with used:
        pass
    with quiet(), used:
        pass
    assert used.summary.seconds == 0.0


def test_what_runs_after_its_call_has_returned_is_not_decorated_in_vain():
    async def later():
        pass

    def one_by_one():
        yield

    for function in (later, one_by_one):
        with pytest.raises(TypeError, match=f"{function.__name__}, which runs after its call.*inside it"):
            firstgrad.compile_progress()(function)
