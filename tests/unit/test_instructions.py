"""The processor's counters: real ones where there are any, never made up elsewhere.

Virtual machines rarely show hardware counters, so the way through the kernel is tested with one of its own software
counters, which counts nanoseconds of processor time.
"""

import os
import struct
import subprocess
import sys
import time

import pytest

from firstgrad.measuring.phases import Reading
from firstgrad.observe.instructions import INSTRUCTIONS, InstructionCounter, PerfEvent
from helpers import linux_only

TASK_CLOCK = PerfEvent(kind=1, config=1)
NO_SUCH_EVENT = PerfEvent(kind=0, config=10_000)
BURN = "import time\nwhile time.process_time() < 0.2: pass"


@pytest.fixture
def task_clock():
    counter = InstructionCounter(TASK_CLOCK)
    if counter.read() is None:
        pytest.skip("this kernel lets nobody count events (perf_event_paranoid, or a seccomp filter)")
    return counter


@linux_only
def test_a_counter_of_the_kernels_agrees_with_the_processor_clock(task_clock):
    before, began = task_clock.read(), time.process_time()
    while time.process_time() - began < 0.05:
        pass
    assert (task_clock.read() - before) / 1e9 == pytest.approx(time.process_time() - began, rel=0.3)


@linux_only
def test_children_count_too_since_compilers_are_children(task_clock):
    before = task_clock.read()
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert task_clock.read() - before > 0.15e9


@linux_only
def test_the_counter_is_not_handed_on_to_programs_that_are_started(task_clock):
    assert not os.get_inheritable(task_clock._file)


def test_where_there_is_no_such_counter_there_is_no_number():
    assert InstructionCounter(NO_SUCH_EVENT).read() is None


def test_instructions_are_a_positive_count_or_nothing():
    counter = InstructionCounter(INSTRUCTIONS)
    first = counter.read()
    sum(range(100_000))
    second = counter.read()
    assert (first is None) == (second is None)
    assert second is None or second - first > 100_000


@pytest.mark.parametrize(("running", "expected"), [(500, 7), (499, None)])
def test_a_counter_that_was_shared_for_a_while_is_no_count(running, expected):
    counter = InstructionCounter(NO_SUCH_EVENT)
    reading, writing = os.pipe()
    os.write(writing, struct.pack("QQQ", 7, 500, running))
    os.close(writing)
    counter._file = reading
    assert counter.read() == expected
    assert counter.read() is None  # the end of the file is no count either
    os.close(reading)


@pytest.mark.parametrize(("before", "after", "passed"), [(None, 5, None), (5, None, None), (3, 10, 7), (0, 0, 0)])
def test_a_difference_of_unknown_counts_is_unknown(before, after, passed):
    assert (Reading(1.0, 1.0, after) - Reading(1.0, 1.0, before)).instructions == passed
