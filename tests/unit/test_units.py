from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firstgrad.units import format_bytes, format_seconds

SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

durations = st.floats(min_value=1e-9, max_value=1e7)
sizes = st.integers(min_value=-(2**45), max_value=2**45)


def parse(text, units):
    number, unit = text.split(" ")
    return float(number) * units[unit]


def digits(text):
    return sum(character.isdigit() for character in text)


@given(durations | st.floats(min_value=1e-15, max_value=1e-9))
@example(0.9995)
@example(9.995)
@example(0.00099949999)
def test_a_duration_reads_back_within_half_a_percent_and_has_its_sign(seconds):
    assert parse(format_seconds(seconds), SECONDS) == pytest.approx(seconds, rel=0.006)
    assert format_seconds(-seconds) == "-" + format_seconds(seconds)


@given(durations)
def test_a_duration_has_three_digits_and_no_more_than_it_needs(seconds):
    text = format_seconds(seconds)
    number = float(text.split(" ")[0])
    assert digits(text) == 3 or (number >= 1000 and text.endswith(" s"))
    assert number >= 1


@given(durations, durations)
def test_a_longer_duration_never_reads_as_shorter(one, other):
    short, long = sorted((one, other))
    shown_short, shown_long = parse(format_seconds(short), SECONDS), parse(format_seconds(long), SECONDS)
    assert shown_short <= shown_long * (1 + 1e-12)  # 1000 * 1e-3 is not 1 to the last bit


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-0.0, "0 s"),
        (1, "1.00 s"),
        (196.04, "196 s"),
        (3600, "3600 s"),
        (1.044, "1.04 s"),
        (9.996, "10.0 s"),
        (99.96, "100 s"),
        (0.99996, "1.00 s"),  # 999.96 ms
        (0.9994, "999 ms"),
        (0.00999, "9.99 ms"),
        (999.96e-6, "1.00 ms"),
        (350e-6, "350 µs"),
        (999.6e-9, "1.00 µs"),
        (1e-9, "1.00 ns"),
        (math.inf, "inf s"),
        (-math.inf, "-inf s"),
        (math.nan, "nan s"),
    ],
)
def test_known_durations(seconds, text):
    assert format_seconds(seconds) == text


@given(sizes)
@example(1023)
@example(2**20 - 1)
@example(2**30 - 1)
def test_a_size_reads_back_within_half_a_percent_and_has_its_sign(size):
    assert parse(format_bytes(size), BYTES) == pytest.approx(size, rel=0.006)
    if size > 0:
        assert format_bytes(-size) == "-" + format_bytes(size)


@given(sizes.filter(lambda size: abs(size) >= 1024))
def test_a_size_has_three_digits_and_no_more_than_it_needs(size):
    text = format_bytes(size)
    number = abs(float(text.split(" ")[0]))
    assert digits(text) == 3 or number >= 1000
    assert number >= 1
    assert number < 1024 or text.endswith(" GiB")


@given(sizes, sizes)
def test_a_larger_size_never_reads_as_smaller(one, other):
    small, large = sorted((one, other))
    assert parse(format_bytes(small), BYTES) <= parse(format_bytes(large), BYTES)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (-1, "-1 B"),
        (-0.2, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (-1536, "-1.50 KiB"),
        (10235, "10.0 KiB"),
        (2**20 - 1, "1.00 MiB"),
        (860 * 2**20, "860 MiB"),
        (1000 * 2**20, "1000 MiB"),
        (2**30, "1.00 GiB"),
        (2**41, "2048 GiB"),
        (math.nan, "nan B"),
        (math.inf, "inf GiB"),
    ],
)
def test_known_sizes(size, text):
    assert format_bytes(size) == text
