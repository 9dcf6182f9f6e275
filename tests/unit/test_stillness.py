"""What counts as time that stood still, and what on a busy machine doesn't: by clocks that are told."""

from __future__ import annotations

import pytest

from firstgrad.measuring.watcher import Stillness

INTERVAL = 0.01


class Machine:
    """Its clocks, and what its watcher sees at each look."""

    def __init__(self):
        self.now = self.rest = self.waited = self.cpu = 0.0
        self.still = Stillness(lambda: self.now, lambda: self.now + self.rest, lambda: self.waited)

    def look(self, after=INTERVAL, *, stopped=(), waited=0.0, cpu=0.0, asleep=0.0):
        self.now, self.rest = self.now + after, self.rest + asleep
        self.waited, self.cpu = self.waited + waited, self.cpu + cpu
        self.still.see(set(stopped), self.cpu, INTERVAL)

    @property
    def seconds(self):
        """Those that it ran, and those that it stood still."""
        return self.still.ran_seconds, self.still.stood_seconds


@pytest.fixture
def machine():
    machine = Machine()
    for _ in range(100):
        machine.look(cpu=INTERVAL)
    assert machine.seconds == pytest.approx((1.0, 0.0))
    return machine


def test_a_process_is_stopped_from_the_first_look_that_sees_it_to_the_last(machine):
    for _ in range(101):
        machine.look(0.05, stopped=[7])
    machine.look()
    assert machine.seconds == pytest.approx((1.0 + 0.05 + INTERVAL, 5.0))


def test_looks_that_see_one_process_and_then_another_are_no_stop(machine):
    # As with a debugger that stops each for a moment, or a tree that is killed.
    for number in range(10):
        machine.look(stopped=[number])
    assert machine.seconds == pytest.approx((1.1, 0.0))


def test_a_pause_of_all_processes_is_a_gap_in_which_nobody_worked(machine):
    machine.look(8.0, cpu=0.01)
    assert machine.seconds == pytest.approx((1.0 + INTERVAL, 8.0 - INTERVAL))


@pytest.mark.parametrize(
    "gap",
    [
        {"after": 1.9},  # late, as on a busy machine
        {"after": 8.0, "waited": 7.9},  # it waited for a processor
        {"after": 8.0, "cpu": 4.0},  # the watcher alone was stopped: the tree worked
    ],
)
def test_a_watcher_that_comes_late_is_no_pause(machine, gap):
    machine.look(**gap)
    assert machine.seconds == pytest.approx((1.0 + gap["after"], 0.0))


def test_a_machine_that_slept_is_known_from_its_clocks_and_costs_no_time_limit(machine):
    machine.look(asleep=3600.0)
    assert machine.seconds == pytest.approx((1.0 + INTERVAL, 3600.0))
    machine.look(asleep=0.001)  # clocks that are read one after the other
    assert machine.seconds == pytest.approx((1.0 + 2 * INTERVAL, 3600.0))
