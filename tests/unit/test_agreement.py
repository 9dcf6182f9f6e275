"""Planted errors are found, named and counted; equal results are let through."""

from __future__ import annotations

import math

import numpy as np
import pytest

from firstgrad.agreement import GRADIENT_RTOL, LOGP_RTOL, compare_gradient, compare_logp, finiteness
from firstgrad.points import Group
from firstgrad.pose.data import generate
from firstgrad.pose.oracle import allowed_rounding, gradient
from firstgrad.pose.spec import HmmSpec, PoseSpec
from firstgrad.record import GroupFiniteness, Mismatch

SPEC = PoseSpec(n_timesteps=4, n_directions=2, hmm=HmmSpec(n_states=2))
LINE = (Group("a", (4,)), Group("b", (), is_log=True))


@pytest.fixture
def expected():
    data = generate(SPEC)
    return gradient(SPEC, data, data.initial)


@pytest.fixture
def got(expected):
    return {name: value.copy() for name, value in expected.items()}


def line(*values, b=1.0):
    return {"a": np.array(values, dtype=np.float64), "b_log__": np.array(b)}


def test_equal_gradients_and_rounding_are_no_mismatch(expected, got):
    assert compare_gradient(SPEC, expected, got) == ()
    assert compare_gradient(SPEC, expected, {name: value * (1 + 1e-10) for name, value in got.items()}) == ()


@pytest.mark.parametrize(
    ("name", "group", "index"),
    [
        ("x_root", "x_root", (3, 1)),
        ("length_2", "length_2", (2,)),
        ("hmm_kappa_s1_j2_log__", "hmm_kappa_s1_j2", ()),
        ("hmm_trans_logits", "hmm_trans_logits", (1, 0)),
    ],
)
def test_one_wrong_value_is_named_exactly(expected, got, name, group, index):
    got[name][index] += 1e-3
    (found,) = compare_gradient(SPEC, expected, got)
    assert found == Mismatch(
        group=group, index=index, expected=expected[name][index], got=got[name][index], n_different=1
    )


def test_the_worst_value_by_its_own_scale_is_shown_and_all_are_counted():
    found = compare_gradient(LINE, line(1, 2, 3, 4), line(1, 2.1, 3, 4.3))
    assert found == (Mismatch(group="a", index=(3,), expected=4.0, got=4.3, n_different=2),)
    assert compare_gradient(LINE, line(1, 2, 3, 1000), line(1.5, 2, 3, 1001))[0].index == (0,)


def test_every_differing_group_is_named_in_model_order():
    found = compare_gradient(LINE, line(1, 2, 3, 4), line(1, 2, 3, 5, b=2.0))
    assert [(each.group, each.index) for each in found] == [("a", (3,)), ("b", ())]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_differs_and_is_the_worst(expected, got, wrong):
    got["raw_u_1"][1, 2] = wrong
    got["raw_u_1"][0, 0] += 1e9
    (found,) = compare_gradient(SPEC, expected, got)
    assert (found.group, found.index, found.n_different) == ("raw_u_1", (1, 2), 2)
    assert found.got == wrong or math.isnan(found.got)


def test_nan_and_infinities_agree_with_themselves_only():
    nan, inf = math.nan, math.inf
    wanted = line(nan, inf, -inf, 4)
    assert compare_gradient(LINE, wanted, line(nan, inf, -inf, 4)) == ()
    (found,) = compare_gradient(LINE, wanted, line(1, -inf, nan, 4))
    assert found.n_different == 3
    assert found.index == (0,)
    assert math.isnan(found.expected)


@pytest.mark.parametrize(
    ("expected", "got", "tolerance"),
    [
        (line(1, 2, 3, 4), lambda off: line(1, 2, 3, 4 + off), 4 * GRADIENT_RTOL),
        (line(1, 2, 3, 4), lambda off: line(1, 2, 3, 4 - off), 4 * GRADIENT_RTOL),
        # What cancels is judged by its group; a lone zero absolutely.
        (line(0, 2, 3, -1000), lambda off: line(off, 2, 3, -1000), 1e-2 * 1000 * GRADIENT_RTOL),
        (line(1, 1, 1, 1, b=0), lambda off: line(1, 1, 1, 1, b=off), 1e-2 * GRADIENT_RTOL),
    ],
    ids=["above", "below", "cancels", "zero"],
)
def test_both_sides_of_the_gradient_tolerance(expected, got, tolerance):
    assert compare_gradient(LINE, expected, got(0.99 * tolerance)) == ()
    assert compare_gradient(LINE, expected, got(1.01 * tolerance))


def test_the_tolerance_can_be_set():
    assert compare_gradient(LINE, line(1, 2, 3, 4), line(1, 2, 3, 4.1), rtol=0.1) == ()
    assert compare_logp(-10.0, -10.5, rtol=0.1) == ()


def test_float32_results_are_caught(expected):
    rounded = {name: value.astype(np.float32) for name, value in expected.items()}
    names = {each.group for each in compare_gradient(SPEC, expected, rounded)}
    assert {"x_root", "raw_u_1", "length_1", "rho"} <= names


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_what_cannot_be_compared_is_refused_by_name(expected, got, change):
    if change == "missing":
        del got["rho_log__"]
    else:
        got["rho_log__"] = got["rho_log__"][:1]
    with pytest.raises(ValueError, match="rho_log__"):
        compare_gradient(SPEC, expected, got)


@pytest.mark.parametrize("got", [-3108.8, 3108.875, math.nan, math.inf, -math.inf])
def test_a_wrong_logp_is_named(got):
    (found,) = compare_logp(-3108.875, got)
    assert (found.group, found.index, found.expected, found.n_different) == ("logp", (), -3108.875, 1)
    assert found.got == got or math.isnan(found.got)


@pytest.mark.parametrize(("expected", "scale"), [(-2000.0, 2000.0), (50.0, 50.0), (0.0, 1.0), (0.1, 1.0)])
def test_both_sides_of_the_logp_tolerance(expected, scale):
    for sign in (-1, 1):
        assert compare_logp(expected, expected + sign * 0.99 * scale * LOGP_RTOL) == ()
        assert compare_logp(expected, expected + sign * 1.01 * scale * LOGP_RTOL)


def test_a_logp_agrees_with_itself_even_where_it_is_not_finite():
    for equal in (-3108.875, math.nan, -math.inf):
        assert compare_logp(equal, equal) == ()
    for expected, got in ((math.nan, 1.0), (-math.inf, math.inf), (-math.inf, -1e300)):
        assert compare_logp(expected, got)


def test_finiteness_counts_every_group_in_order(expected, got):
    got["x_root"][0] = math.nan
    got["x_root"][1, 1] = math.inf
    got["obs_sigma_log__"] = np.float64("-inf")
    found = finiteness(SPEC, got)
    assert [each.group for each in found] == [group.name for group in SPEC.groups]
    by_name = {each.group: each for each in found}
    assert by_name["x_root"] == GroupFiniteness(group="x_root", values=12, nan=3, infinite=1)
    assert by_name["obs_sigma"] == GroupFiniteness(group="obs_sigma", values=1, nan=0, infinite=1)
    assert sum(each.nan + each.infinite for each in found) == 5
    assert not any(each.nan or each.infinite for each in finiteness(SPEC, expected))
    # Scalars of any kind are taken.
    assert finiteness((Group("b", ()),), {"b": math.nan}) == (GroupFiniteness(group="b", values=1, nan=1, infinite=0),)


def test_rounding_of_an_hmms_recursion_is_allowed_and_no_more():
    spec = PoseSpec(n_timesteps=1000, hmm=HmmSpec(n_states=2))
    allowed = allowed_rounding(spec, -6482.0)
    assert 3.4e-9 < allowed < 1e-7  # JAX's scan was that far off; a wrong gradient is off by far more
    off = line(1, 1, 1, 1, b=0.99 * allowed)
    assert compare_gradient(LINE, line(1, 1, 1, 1, b=0), off, rounding=allowed) == ()
    assert compare_gradient(LINE, line(1, 1, 1, 1, b=0), off)
    assert compare_gradient(LINE, line(1, 1, 1, 1, b=0), line(1, 1, 1, 1, b=1.01 * allowed), rounding=allowed)
    assert allowed_rounding(PoseSpec(n_timesteps=1000), -6482.0) == 0.0  # without an HMM there is no recursion
