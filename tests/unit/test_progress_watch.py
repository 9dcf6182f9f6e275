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
from firstgrad.progress.board import BOARDS, THREAD_NAME, Board
from firstgrad.progress.counters import CModules, NumbaFunctions, XlaModules
from firstgrad.progress.history import FormerRun
from firstgrad.progress.memory import tree_rss_bytes
from firstgrad.progress.session import Session
from firstgrad.progress.snapshot import Look, Units
from helpers import FakeClock, linux_only, wait_for


def make_session(clock, runs=()):
    return Session("title", None, runs, clock)


def test_seconds_go_to_the_stage_that_was_seen():
    clock = FakeClock()
    session = make_session(clock)
    for stage, seconds in ((Stage.REWRITE, 1.0), (Stage.REWRITE, 2.0), (Stage.LINK, 4.0)):
        clock.tick(seconds)
        session.take(Look(stage=stage))
    summary = session.summary()
    assert dict(summary.stage_seconds) == {Stage.REWRITE: 3.0, Stage.LINK: 4.0}
    assert dict(summary.looks) == {Stage.REWRITE: 2, Stage.LINK: 1}
    assert summary.longest_gap_seconds == 4.0


def test_a_snapshot_tells_stage_and_total_time():
    clock = FakeClock()
    session = make_session(clock)
    for stage in (Stage.REWRITE, Stage.LINK, Stage.LINK):
        clock.tick(1.0)
        session.take(Look(stage=stage))
    snapshot = session.snapshot()
    assert (snapshot.stage_seconds, snapshot.elapsed_seconds) == (2.0, 3.0)


def test_nothing_is_shown_while_sampling_and_after_but_for_another_compile():
    session = make_session(FakeClock())
    shown = []
    for look in (
        Look(stage=Stage.LINK),
        Look(stage=Stage.OTHER),
        Look(stage=Stage.SAMPLE),
        Look(stage=Stage.SAMPLE, unit_kind=UnitKind.JITTED_FUNCTION),
        Look(stage=Stage.OTHER),
        Look(stage=Stage.CALL),
        Look(stage=Stage.REWRITE),
    ):
        session.take(look)
        shown.append(session.is_visible)
    assert shown == [True, True, False, True, False, False, True]


def test_a_compile_ends_where_sampling_begins():
    clock = FakeClock()
    session = make_session(clock, [FormerRun(key="", seconds=100.0)])
    session.take(Look(stage=Stage.LINK))
    assert session.snapshot().expected is not None
    clock.tick(5.0)
    session.take(Look(stage=Stage.SAMPLE))
    clock.tick(60.0)
    assert session.summary().seconds == 5.0
    assert session.snapshot().expected is None


def test_units_of_before_do_not_count():
    session = make_session(FakeClock())
    session.count_from([Units(kind=UnitKind.C_MODULE, compiled=5, from_cache=2)])
    session.count([Units(kind=UnitKind.C_MODULE, compiled=8, from_cache=2)])
    assert session.compiled == 3
    assert not session.is_cache_seen
    assert session.is_cache_first is False


def test_a_first_unit_from_the_cache_is_noted():
    session = make_session(FakeClock())
    session.count([Units(kind=UnitKind.C_MODULE, compiled=0, from_cache=0)])
    assert session.is_cache_first is None
    session.count([Units(kind=UnitKind.C_MODULE, compiled=0, from_cache=1)])
    session.count([Units(kind=UnitKind.C_MODULE, compiled=1, from_cache=1)])
    assert session.is_cache_first is True


def test_helpers_written_in_c_do_not_hide_the_backend():
    session = make_session(FakeClock())
    for backend in ("c", "jax", "c"):
        session.take(Look(backend=backend))
    assert session.backend == "jax"


def test_what_is_never_found_is_told_and_what_is_found_once_is_not():
    session = make_session(FakeClock())
    for number in range(6):
        session.take(Look(read=(("_gone", False), ("_late", number == 5))))
    assert session.unread == ("_gone",)


def test_c_modules_are_read_from_a_cache_that_is_open(monkeypatch):
    module = SimpleNamespace(_module_cache=None)
    monkeypatch.setitem(sys.modules, "pytensor.link.c.cmodule", module)
    counter = CModules()
    counter.attach()
    assert counter.units() is None
    module._module_cache = SimpleNamespace(stats=[7, 2, 3])
    assert counter.units() == Units(kind=UnitKind.C_MODULE, compiled=3, from_cache=2)


def test_c_modules_of_an_unknown_release_are_not_counted(monkeypatch):
    module = SimpleNamespace(_module_cache=SimpleNamespace(stats={"compiled": 1}))
    monkeypatch.setitem(sys.modules, "pytensor.link.c.cmodule", module)
    counter = CModules()
    counter.attach()
    assert counter.units() is None


class NumbaEvents:
    """Stands for ``numba.core.event``."""

    class Listener:
        pass

    def __init__(self):
        self.registered = []

    def register(self, kind, listener):
        self.registered.append((kind, listener))

    def unregister(self, kind, listener):
        self.registered.remove((kind, listener))


def test_jitted_functions_are_counted_from_the_import_to_the_end(monkeypatch):
    monkeypatch.delitem(sys.modules, "numba.core.event", raising=False)
    counter = NumbaFunctions()
    assert not counter.attach()
    events = NumbaEvents()
    monkeypatch.setitem(sys.modules, "numba.core.event", events)
    assert counter.attach()
    assert counter.attach()
    ((kind, listener),) = events.registered
    assert kind == "numba:compile"
    event = SimpleNamespace(data={})
    listener.on_start(event)
    listener.on_end(event)
    assert counter.units() == Units(kind=UnitKind.JITTED_FUNCTION, compiled=1)
    counter.detach()
    counter.detach()
    assert events.registered == []


def test_a_numba_without_events_is_told_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba.core.event", SimpleNamespace())
    counter = NumbaFunctions()
    assert not counter.attach()
    assert "Numba" in counter.problem
    assert counter.units() is None


class Monitoring:
    """Stands for ``jax.monitoring``."""

    def __init__(self):
        self.durations, self.events = [], []
        self.register_event_duration_secs_listener = self.durations.append
        self.unregister_event_duration_listener = self.durations.remove
        self.register_event_listener = self.events.append
        self.unregister_event_listener = self.events.remove


def test_xla_modules_are_counted_and_what_the_cache_had(monkeypatch):
    jax = Monitoring()
    monkeypatch.setitem(sys.modules, "jax.monitoring", jax)
    counter = XlaModules()
    assert counter.attach()
    for _ in range(3):
        jax.durations[0]("/jax/core/compile/backend_compile_duration", 0.1, fun_name="f")
    jax.durations[0]("/jax/core/compile/jaxpr_trace_duration", 0.1)
    jax.events[0]("/jax/compilation_cache/cache_hits")
    jax.events[0]("/jax/compilation_cache/cache_misses")
    assert counter.units() == Units(kind=UnitKind.XLA_MODULE, compiled=2, from_cache=1)
    counter.detach()
    assert (jax.durations, jax.events) == ([], [])


def test_a_jax_that_never_lets_go_is_not_listened_to(monkeypatch):
    jax = Monitoring()
    del jax.unregister_event_duration_listener
    monkeypatch.setitem(sys.modules, "jax.monitoring", jax)
    monkeypatch.setitem(sys.modules, "jax._src.monitoring", SimpleNamespace())
    counter = XlaModules()
    assert not counter.attach()
    assert "JAX" in counter.problem
    assert (jax.durations, jax.events) == ([], [])


def test_a_module_that_is_being_imported_is_left_alone(monkeypatch):
    half = NumbaEvents()
    half.__spec__ = SimpleNamespace(_initializing=True)
    monkeypatch.setitem(sys.modules, "numba.core.event", half)
    assert not NumbaFunctions().attach()
    assert half.registered == []


@linux_only
def test_memory_counts_the_process_and_its_children(tmp_path):
    import os

    me, page = os.getpid(), os.sysconf("SC_PAGE_SIZE")
    for pid, pages, children in ((me, 100, "41 42"), (41, 20, "43"), (42, 3, ""), (43, 7, "")):
        (tmp_path / str(pid) / "task" / str(pid)).mkdir(parents=True)
        (tmp_path / str(pid) / "statm").write_text(f"999 {pages} 1 1 0 1 0\n")
        (tmp_path / str(pid) / "task" / str(pid) / "children").write_text(children)
    assert tree_rss_bytes(tmp_path) == (130 * page, 4)


def test_memory_is_unknown_where_the_system_does_not_tell(tmp_path):
    assert tree_rss_bytes(tmp_path) is None


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
    session = make_session(FakeClock())
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
        assert [each.title for each in BOARDS._board.sessions] == ["first", "other"]
    assert len(threads()) == 1, "the other is still being watched"
    leave.set()
    thread.join()
    assert threads() == []


def test_a_look_that_comes_while_one_leaves_disturbs_nobody(monkeypatch):
    session = make_session(FakeClock())
    session.take(Look(stage=Stage.OTHER))

    def looked_at_meanwhile(_stage):
        session.take(Look(stage=Stage.BUILD))
        return False

    monkeypatch.setattr(Stage, "is_compile", property(looked_at_meanwhile))
    assert not session.is_compile_seen


def test_memory_is_unknown_on_a_system_without_sysconf(tmp_path, monkeypatch):
    monkeypatch.delattr("os.sysconf")
    assert tree_rss_bytes(tmp_path) is None


def test_what_a_release_does_not_show_is_said_once(monkeypatch):
    monkeypatch.setattr(public, "_WARNED", set())
    monkeypatch.setitem(sys.modules, "numba.core.event", SimpleNamespace())
    with pytest.warns(UserWarning, match="Numba does not tell"), quiet():
        pass
    with quiet():
        pass
