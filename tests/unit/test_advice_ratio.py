"""Ratios with known answers."""

from __future__ import annotations

import math
import random

import pytest

from firstgrad.advising.advice import more_samples, ratio_of_times, ratio_text
from firstgrad.comparing.ratio import pool_scatter
from firstgrad.errors import SpecError


def test_the_ratio_is_that_of_geometric_means():
    assert ratio_of_times([2.0, 8.0], [1.0, 4.0]).value == pytest.approx(2.0)


def test_the_interval_is_welchs():
    from scipy.stats import ttest_ind

    ours, theirs = [1.0, 1.3, 0.8, 1.1], [2.0, 2.1, 2.6]
    logs = [[math.log(each) for each in side] for side in (ours, theirs)]
    known = ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    ratio = ratio_of_times(ours, theirs)
    assert (math.log(ratio.low), math.log(ratio.high)) == pytest.approx((known.low, known.high))


def test_one_sample_has_no_ends():
    ratio = ratio_of_times([1.0], [100.0])
    assert (ratio.low, ratio.high) == (0.0, math.inf)
    assert ratio.high >= 1
    assert ratio_text(ratio) == "0.01 [0.00, ?]"


def test_scatter_of_other_groups_narrows_but_never_below_the_pairs_own():
    ours, theirs = [1.0, 1.2], [2.0, 2.3]
    quiet = pool_scatter([[5.0, 5.0, 5.0, 5.0, 5.0]] * 3)
    pooled, alone = ratio_of_times(ours, theirs, scatter=quiet), ratio_of_times(ours, theirs)
    assert pooled.high < alone.high
    noisy = pool_scatter([[1.0, 9.0, 1.0, 9.0]] * 3)
    assert ratio_of_times(ours, theirs, scatter=noisy).high > pooled.high
    assert pool_scatter([[1.0], [2.0]]) is None


def test_so_many_more_samples_do_tell():
    chance = random.Random(3)  # noqa: S311 - reproducible, not secret

    def draw(seconds, count):
        return [seconds * chance.lognormvariate(0, 0.1) for _ in range(count)]

    told = 0
    for _ in range(100):
        ours, theirs = draw(1.0, 3), draw(1.1, 3)
        more = more_samples(ours, theirs)
        if more is None:
            continue
        assert more >= 1
        told += ratio_of_times(draw(1.0, 3 + more), draw(1.1, 3 + more)).high < 1
    assert told >= 25  # a guess, made from three samples: right a good part of the time


def test_more_samples_of_the_same_or_of_one_are_not_known():
    assert more_samples([1.0, 1.1], [1.1, 1.0]) is None
    assert more_samples([1.0], [1.1, 1.0]) is None


@pytest.mark.parametrize("bad", [[], [0.0], [-1.0], [math.inf]])
def test_what_is_no_duration_is_refused(bad):
    with pytest.raises(SpecError, match="positive numbers"):
        ratio_of_times(bad, [1.0])
