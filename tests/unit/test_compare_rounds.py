"""Rounds, looks, and corrections for many comparisons."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.comparing.judge import Thresholds, adjust_holm, count_further, plan_looks
from firstgrad.comparing.noise import Noise, find_rounds
from firstgrad.comparing.ratio import RatioFit
from firstgrad.record import Status
from helpers import make_environment, make_record


def sides_of(order, *, bad=""):
    """Samples in an order such as ``abba``, a second apart; those at the places in `bad` failed."""
    made = [
        make_record(
            record_id=f"{side}{place}",
            started_at=f"2025-01-01T00:00:{place:02}.000+00:00",
            status=Status.FAILED if str(place) in bad else Status.OK,
        )
        for place, side in enumerate(order)
    ]
    return [each for each in made if each.record_id[0] == "a"], [each for each in made if each.record_id[0] == "b"]


ROUNDS = {
    "in turn, whoever begins a round": ("abbaabbaab", "", ["a0 b1", "a3 b2", "a4 b5", "a7 b6", "a8 b9"], True, True),
    "too few to be paired": ("abababab", "", ["a0 b1", "a2 b3", "a4 b5", "a6 b7"], True, False),
    "the partner of a failed one gets no other": (
        "ababababababab",
        "3",
        ["a0 b1", "a4 b5", "a6 b7", "a8 b9", "a10 b11", "a12 b13"],
        True,
        True,
    ),
}


@pytest.mark.parametrize(("order", "bad", "pairs", "is_interleaved", "is_paired"), ROUNDS.values(), ids=ROUNDS)
def test_samples_in_turn_are_paired(order, bad, pairs, is_interleaved, is_paired):
    found = find_rounds(*sides_of(order, bad=bad))
    assert [f"{one.record_id} {other.record_id}" for one, other in found.pairs] == pairs
    assert (found.is_interleaved, found.is_paired) == (is_interleaved, is_paired)


@pytest.mark.parametrize("order", ["aaaaabbbbb", "aaaabbbbaaaa", "aaabbbaaabbb"])
def test_blocks_are_not_interleaved(order):
    assert not find_rounds(*sides_of(order)).is_interleaved


def test_the_order_of_the_list_does_not_matter():
    before, after = sides_of("abbaab")
    assert find_rounds(before[::-1], after[::-1]) == find_rounds(before, after)


def test_without_times_and_of_two_hosts_nothing_is_paired():
    before, after = sides_of("abababababab")
    for odd in ("", "yesterday", after[0].started_at):
        assert find_rounds([replace(before[0], started_at=odd), *before[1:]], after).pairs == ()
    assert find_rounds(before, before).pairs == ()
    assert not find_rounds(before, []).is_interleaved
    host = replace(make_environment().host, processor="another")
    moved = [replace(each, environment=make_environment(host=host)) for each in after]
    assert find_rounds(before, moved).pairs == ()


def test_holm_is_as_in_the_book():
    assert adjust_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert adjust_holm([0.5, 0.9]) == (1.0, 1.0)
    assert adjust_holm([]) == ()


@given(st.lists(st.floats(0, 1), max_size=30))
def test_holm_lies_between_none_and_bonferroni_and_keeps_the_order(p_values):
    adjusted = adjust_holm(p_values)
    for one, p_value in zip(adjusted, p_values, strict=True):
        assert p_value <= one <= min(1.0, len(p_values) * p_value * (1 + 1e-12))
    ordered = [one for _, one in sorted(zip(p_values, adjusted, strict=True))]
    assert all(one <= other for one, other in pairwise(ordered))


def test_looks_grow_by_the_same_factor():
    assert plan_looks() == (6, 10, 16, 26, 42, 68, 110)
    assert plan_looks(10, 3) == (10, 16, 26)
    for wrong in ((1, 7), (6, 0)):
        with pytest.raises(ValueError, match="at least 2 rounds and 1 look"):
            plan_looks(*wrong)


def test_further_samples_grow_with_noise_and_with_smaller_changes():
    def further(log_ratio, error, **options):
        fit = RatioFit(log_ratio=log_ratio, standard_error=error, degrees=9, samples=10)
        return count_further(fit, Noise(factor=1.02), Thresholds(), **options)

    # spread 0.03 * sqrt(10) a pair; z of 1.5% is 2.17, of 80% 0.84: (3.01 * 0.0949 / 0.08)^2 = 12.8, so 13 in all
    assert further(0.08, 0.03) == 3
    assert further(0.08, 0.06) == 42
    assert further(0.08, 0.03, share=0.01) > further(0.08, 0.03)
    assert further(0.08, 0.03, looks=7) > further(0.08, 0.03)
    assert further(0.0, 0.03) == 20  # the same: (2.80 * 0.0949 / 0.0488)^2 = 29.7
    assert further(0.03, 0.3) is None
    few = RatioFit(log_ratio=0.1, standard_error=0.0, degrees=0, samples=1)
    assert count_further(few, Noise(factor=1.02), Thresholds()) == 2
