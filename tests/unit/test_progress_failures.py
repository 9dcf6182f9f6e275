"""What goes wrong in the display never reaches the user's compile, and leaves nothing behind."""

from __future__ import annotations

import io
import threading

import pytest

import firstgrad
from firstgrad.progress import compile_progress as public
from firstgrad.progress.board import BOARDS, THREAD_NAME
from firstgrad.progress.session import Session
from helpers import wait_for


def threads():
    return [each for each in threading.enumerate() if each.name == THREAD_NAME]


def quiet(**options):
    return firstgrad.compile_progress(history=False, stream=io.StringIO(), **options)


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
    monkeypatch.setattr(Session, "count", lambda *_: 1 / 0)
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
