"""A watched thread, the one board of a process, and what goes wrong in the display: the compile never sees it."""

from __future__ import annotations

import io
import sys
import threading
from types import SimpleNamespace

import pytest

import firstgrad
from firstgrad.observe.events import Stage, UnitKind
from firstgrad.progress import compile_progress as public
from firstgrad.progress.compile_progress import BOARDS, THREAD_NAME, Board
from firstgrad.progress.history import FormerRun
from firstgrad.progress.look import StackLook, UnitCount, WatchedThread
from helpers import FakeClock, wait_for


def watch(*looks, clock=None, seconds=1.0, runs=()):
    """A watched thread that was looked at so, one second after the other."""
    clock = clock or FakeClock()
    thread = WatchedThread("title", None, runs, clock)
    for look in looks:
        clock.tick(seconds)
        thread.take(look if isinstance(look, StackLook) else StackLook(stage=look))
    return thread


def test_seconds_go_to_the_stage_that_was_seen():
    clock = FakeClock()
    thread = watch(Stage.REWRITE, clock=clock)
    for stage, seconds in ((Stage.REWRITE, 2.0), (Stage.LINK, 4.0)):
        clock.tick(seconds)
        thread.take(StackLook(stage=stage))
    summary = thread.summary()
    assert dict(summary.stage_seconds) == {Stage.REWRITE: 3.0, Stage.LINK: 4.0}
    assert dict(summary.looks) == {Stage.REWRITE: 2, Stage.LINK: 1}
    assert summary.longest_gap_seconds == 4.0


def test_a_thread_tells_stage_and_total_time():
    thread = watch(Stage.REWRITE, Stage.LINK, Stage.LINK)
    assert (thread.stage_seconds, thread.elapsed_seconds) == (2.0, 3.0)


def test_nothing_is_shown_while_sampling_and_after_but_for_another_compile():
    thread = watch()
    for look, is_visible in (
        (StackLook(stage=Stage.LINK), True),
        (StackLook(stage=Stage.OTHER), True),
        (StackLook(stage=Stage.SAMPLE), False),
        (StackLook(stage=Stage.SAMPLE, unit_kind=UnitKind.JITTED_FUNCTION), True),
        (StackLook(stage=Stage.OTHER), False),
        (StackLook(stage=Stage.CALL), False),
        (StackLook(stage=Stage.REWRITE), True),
    ):
        thread.take(look)
        assert thread.is_visible is is_visible, look


def test_a_compile_ends_where_sampling_begins():
    clock = FakeClock()
    thread = watch(Stage.LINK, clock=clock, seconds=0.0, runs=[FormerRun(key="", seconds=100.0)])
    assert thread.expected is not None
    clock.tick(5.0)
    thread.take(StackLook(stage=Stage.SAMPLE))
    clock.tick(60.0)
    assert thread.summary().seconds == 5.0
    assert thread.expected is None


def c_modules(compiled, from_cache):
    return [UnitCount(kind=UnitKind.C_MODULE, compiled=compiled, from_cache=from_cache)]


def test_units_of_before_do_not_count_and_a_first_one_from_the_cache_is_noted():
    thread = watch()
    thread.count_from(c_modules(5, 2))
    thread.count(c_modules(8, 2))
    assert (thread.compiled, thread.is_cache_seen, thread.is_cache_first) == (3, False, False)
    thread = watch()
    thread.count(c_modules(0, 0))
    assert thread.is_cache_first is None
    thread.count(c_modules(0, 1))
    thread.count(c_modules(1, 1))
    assert thread.is_cache_first is True


def test_helpers_written_in_c_do_not_hide_the_backend():
    assert watch(*(StackLook(backend=name) for name in ("c", "jax", "c"))).backend == "jax"


@pytest.mark.parametrize(("backend", "device"), [("numba", "cpu"), ("jax", "cuda, NVIDIA H100")])
def test_a_run_is_kept_with_its_device(monkeypatch, backend, device):
    monkeypatch.setattr("firstgrad.progress.look.jax_device", lambda: "cuda, NVIDIA H100")
    run = watch(StackLook(stage=Stage.LINK, backend=backend)).to_run("m", 3.00049)
    assert run == FormerRun(key="m", seconds=3.0, backend=backend, device=device)


def test_what_is_never_found_is_told_and_what_is_found_once_is_not():
    looks = [StackLook(read=(("_gone", False), ("_late", number == 5))) for number in range(6)]
    assert watch(*looks).unread == ("_gone",)


def test_a_look_that_comes_while_one_leaves_disturbs_nobody(monkeypatch):
    thread = watch(Stage.OTHER)

    def looked_at_meanwhile(_stage):
        thread.take(StackLook(stage=Stage.BUILD))
        return False

    monkeypatch.setattr(Stage, "is_compile", property(looked_at_meanwhile))
    assert not thread.is_compile_seen


class Recorder:
    """A display that remembers."""

    def __init__(self):
        self.drawn, self.closed = [], []

    def draw(self, threads):
        self.drawn.append([thread.title for thread in threads])

    def close(self, conclusion):
        self.closed.append(conclusion)


class Raising(Recorder):
    def draw(self, threads):
        super().draw(threads)
        raise OSError("the stream is closed")


def threads():
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


@pytest.mark.parametrize("kind", [Recorder, Raising])
def test_a_board_draws_while_somebody_is_watched(kind):
    display, thread = kind(), watch()
    board = Board(display, counters=())
    board.join(thread)
    wait_for(lambda: display.drawn, what="a drawing")
    assert board.leave(thread)
    board.end()
    assert display.drawn[0] == ["title"]
    assert display.closed == [""], "one that fails must give back what it has, too"
    assert threads() == []


def quiet(**options):
    return firstgrad.compile_progress(**{"history": False, "stream": io.StringIO()} | options)


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


def test_one_object_used_again_inside_another_has_an_empty_summary():
    used = quiet()
    with used:
        pass
    with quiet(), used:
        pass
    assert used.summary.seconds == 0.0


def test_a_decorated_function_may_call_itself():
    @quiet()
    def down(number):
        return 0 if number == 0 else 1 + down(number - 1)

    assert down(3) == 3
    assert threads() == []


def test_what_runs_after_its_call_has_returned_is_not_decorated_in_vain():
    async def later():
        pass

    def one_by_one():
        yield

    for function in (later, one_by_one):
        with pytest.raises(TypeError, match=f"{function.__name__}, which runs after its call.*inside it"):
            firstgrad.compile_progress()(function)


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
        assert [watched.title for watched in BOARDS._board.watched] == ["first", "other"]
    assert len(threads()) == 1, "the other is still being watched"
    leave.set()
    thread.join(10)
    assert threads() == []


def test_what_a_release_does_not_show_is_said_once(monkeypatch):
    monkeypatch.setattr(public, "_WARNED", set())
    monkeypatch.setitem(sys.modules, "numba.core.event", SimpleNamespace())
    with pytest.warns(UserWarning, match="Numba does not tell"), quiet():
        pass
    with quiet():
        pass


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
    monkeypatch.setattr("firstgrad.progress.compile_progress.make_counters", lambda: (counter,))
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


def nobody():
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize(
    ("name", "broken", "options"),
    [
        pytest.param("pathlib.Path.home", nobody, {"history": True}, id="without a home nothing is kept"),
        pytest.param(
            "firstgrad.progress.compile_progress.measured_runs",
            lambda _: 1 / 0,
            {"reference": "mine.py:build"},
            id="a store that cannot be read tells nothing",
        ),
    ],
)
def test_without_former_runs_the_block_runs_all_the_same(monkeypatch, name, broken, options):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(name, broken)
    with quiet(**options) as progress:
        pass
    assert progress.summary.seconds > 0.0
