from __future__ import annotations

import subprocess
import sys

import pytest

from builders import phase
from firstgrad.measuring.events import PhaseBegan, PhaseEnded
from firstgrad.measuring.phases import HighWaterMark, PhaseTimer, tree_cpu_seconds
from firstgrad.phase import Phase
from helpers import MIB, FakeClock, linux_only


class FakeMark:
    """A high-water mark that rises as it is told and falls to the present size when it is reset."""

    def __init__(self):
        self.present = self.peak = 50

    def rise(self, to):
        self.peak = max(self.peak, to)

    def reset(self):
        self.peak = self.present

    def read_bytes(self):
        return self.peak


class Stage:
    """A timer whose clocks and memory stand still unless a test moves them."""

    def __init__(self):
        self.wall, self.cpu, self.mark, self.events = FakeClock(1000.0), FakeClock(7.0), FakeMark(), []
        self.timer = PhaseTimer(self.events.append, wall=self.wall, cpu=self.cpu, high_water=self.mark)

    def spend(self, wall, cpu):
        self.wall.tick(wall)
        self.cpu.tick(cpu)


def test_a_phase_gets_the_exact_times_and_the_peak_of_its_own():
    stage = Stage()
    stage.mark.rise(900)  # before the phase: not its own
    stage.spend(2.5, 1.0)
    with stage.timer.phase(Phase.BUILD):
        stage.spend(4.0, 6.5)
        stage.mark.rise(300)
    stage.spend(10.0, 10.0)  # between phases: nobody's
    with stage.timer.phase(Phase.LOGP_GRAPH):
        stage.spend(0.25, 0.125)
    build = phase("build", 4.0, began=2.5, cpu=6.5, self_peak_rss_bytes=300)
    graph = phase("logp_graph", 0.25, began=16.5, cpu=0.125, self_peak_rss_bytes=50)
    assert stage.timer.records == [build, graph]
    assert stage.timer.zero == 1000.0
    assert stage.timer.now() == 16.75
    assert stage.events == [
        PhaseBegan(phase=Phase.BUILD, at_seconds=2.5),
        PhaseEnded(record=build),
        PhaseBegan(phase=Phase.LOGP_GRAPH, at_seconds=16.5),
        PhaseEnded(record=graph),
    ]


def test_what_telling_costs_belongs_to_no_phase():
    wall = FakeClock()
    timer = PhaseTimer(lambda _: wall.tick(3.0), wall=wall, cpu=FakeClock(), high_water=FakeMark())
    with timer.phase(Phase.BUILD):
        wall.tick(1.0)
    assert timer.records[0].wall_seconds == 1.0
    assert timer.records[0].began_seconds == 3.0


def test_a_phase_cannot_begin_within_another_nor_end_before_it_began():
    timer = Stage().timer
    with pytest.raises(RuntimeError, match="no phase has begun"):
        timer.end()
    timer.begin(Phase.REWRITE)
    with pytest.raises(RuntimeError, match="phase rewrite has not ended"):
        timer.begin(Phase.LINK)
    assert timer.current is Phase.REWRITE


def test_a_raising_block_leaves_its_phase_current_and_unrecorded():
    stage = Stage()
    with pytest.raises(ZeroDivisionError), stage.timer.phase(Phase.BUILD):
        raise ZeroDivisionError
    assert stage.timer.current is Phase.BUILD
    assert stage.timer.records == []
    assert stage.events == [PhaseBegan(phase=Phase.BUILD, at_seconds=0.0)]


def test_processor_time_includes_children_that_have_ended():
    before = tree_cpu_seconds()
    # Far more than starting the child costs this process, and than its bare start costs the child.
    spin = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-I", "-c", spin], check=True)
    assert tree_cpu_seconds() - before >= 0.48


@linux_only
def test_the_kernels_mark_shows_what_was_freed_before_anyone_looked():
    mark = HighWaterMark()
    mark.reset()
    before = mark.read_bytes()
    del_at_once = len(b"\x01" * (100 * MIB))
    assert del_at_once == 100 * MIB
    assert mark.read_bytes() - before == pytest.approx(100 * MIB, rel=0.05)
    mark.reset()
    assert mark.read_bytes() - before < 50 * MIB


def test_the_mark_is_read_in_bytes_and_not_claimed_where_the_system_tells_nothing(tmp_path):
    (tmp_path / "status").write_text("VmPeak:\t  999 kB\nVmHWM:\t  123 kB\nVmRSS:\t  5 kB\n")
    for folder, size in ((tmp_path, 123 * 1024), (tmp_path / "absent", None)):
        mark = HighWaterMark(folder)
        mark.reset()
        assert mark.read_bytes() == size
    assert (tmp_path / "clear_refs").read_text() == "5"
