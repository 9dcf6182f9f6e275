"""Lint's rules about numbers: one planted fault each, and what is written rightly beside it. No compiler."""

from __future__ import annotations

import numpy as np
import pytest

pm = pytest.importorskip("pymc", minversion="6")
import pytensor  # noqa: E402 - after it is known to be there
import pytensor.tensor as pt  # noqa: E402
import test_culprits as planted  # noqa: E402

from firstgrad.linting.engine import LogpGraph  # noqa: E402
from firstgrad.linting.finding import FindingName, Harm  # noqa: E402
from firstgrad.linting.numerical import narrow_types, singular_points, unstable_formulas  # noqa: E402
from firstgrad.observe.lines import deep_traces  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = np.arange(4.0)[:, None] * 5


def formula(write):
    """A potential that is written by hand of three variables and a share."""
    with pm.Model() as model:
        a = pm.Normal("a", 0, 1, shape=3)
        write = write(a, pm.Beta("share", 2, 2))
        pm.Potential("by_hand", write.sum())
    return model


def whole_numbers(*, by):
    with pm.Model() as model:
        count = pytensor.shared(np.arange(100, dtype="int16") * np.int16(by), name="count")
        pace = pm.Normal("pace", 0, 1)
        pm.Normal("seen", pace * count**2, 1, observed=np.zeros(100))
    return model


def cast(to):
    with pm.Model() as model:
        pace = pm.Normal("pace", 0, 1)
        turned = pt.cast(pace, to) if to else pace
        pm.Normal("seen", turned * np.arange(3.0), 1, observed=np.zeros(3))
    return model


def look(rule, build, *arguments, **named):
    with deep_traces():
        model = build(*arguments, **named)
    return list(rule(LogpGraph(model)))


@pytest.mark.parametrize(
    ("build", "name", "text", "instead"),
    [
        (lambda: planted.saturation(0.0), FindingName.SINGULAR_AT_DATA, "2.0 * taken**shape", "pt.maximum(taken,"),
        (lambda: planted.distances(0.0), FindingName.SINGULAR_AT_DATA, "far = pt.sqrt(", "+ 1e-12"),
        (lambda: planted.empty_group(counted=False), FindingName.SINGULAR_AT_DATA, "mean = (total", "denominator"),
        (lambda: planted.masked_power(first=False), FindingName.MASK_AFTER_ARITHMETIC, "curves = ((", "stand-in"),
        (lambda: planted.missing_data(first=False), FindingName.MASK_AFTER_ARITHMETIC, "apart = (", "stand-in"),
        (lambda: planted.growth(800.0), FindingName.UNSTABLE_FORMULA, "size = pt.exp(", "logarithms"),
    ],
)
def test_singular_points_have_their_name_line_and_cure(build, name, text, instead):
    (finding,) = look(singular_points, build)
    assert (finding.name, finding.harm) == (name, Harm.WRONG)
    assert text in finding.lines[0].text
    assert instead in finding.instead


@pytest.mark.parametrize(
    "build",
    [
        lambda: planted.saturation(1e-6),
        lambda: planted.distances(1e-9),
        lambda: planted.empty_group(counted=True),
        lambda: planted.masked_power(first=True),
        lambda: planted.missing_data(first=True),
        lambda: planted.growth(2.0),
        planted.softplus_by_hand,
        lambda: planted.with_op(right=True),
    ],
)
def test_what_is_written_rightly_has_no_finding(build):
    for rule in (singular_points, unstable_formulas, narrow_types):
        assert look(rule, build) == []


def test_a_start_where_something_is_zero_by_chance_is_no_finding():
    def build():
        with pm.Model() as model:
            x = pm.Normal("x", 0.0, 1.0, shape=2)  # starts at 0
            pm.Normal("far", pt.sqrt((x**2).sum()), 1.0, observed=1.0)
        return model

    assert look(singular_points, build) == []


def test_what_only_jaxs_own_derivative_makes_wrong_is_said_to_concern_that():
    def build():
        with pm.Model() as model:
            hazard = pm.Gamma("hazard", 1.0, 1.0, shape=3)
            pm.Poisson("deaths", hazard * planted.SEEN, observed=np.array([1, 0, 0]))
        return model

    (finding,) = look(singular_points, build)
    assert finding.backends == ("jax_direct",)
    assert 'pm.Poisson("deaths"' in finding.lines[0].text


@pytest.mark.parametrize(
    "write",
    [
        lambda a, w: pt.log(
            w * pt.exp(-50 * (STEPS - a) ** 2).sum(axis=-1) + (1 - w) * pt.exp(-9 * (60 - a.sum()) ** 2)
        ),
        lambda a, _w: pt.log(pt.dot(np.ones((2, 3)), pt.exp(-900 * (a - 5) ** 2))),
        lambda a, _w: pt.log(0.5 * pt.erfc(a / np.sqrt(2))),
    ],
    ids=["mixture", "weighted", "erfc"],
)
def test_formulas_by_hand_that_pytensor_does_not_mend(write):
    (finding,) = look(unstable_formulas, formula, write)
    assert finding.name is FindingName.UNSTABLE_FORMULA
    assert "pt.log(" in finding.lines[0].text


@pytest.mark.parametrize(
    "write",
    [
        lambda a, _w: pt.log(1 + pt.exp(a)),
        lambda a, _w: pt.log(pt.exp(-900 * (a - 5) ** 2).sum()),
        lambda a, w: pt.log(pt.exp(a) + pt.exp(w)),
        lambda a, _w: pt.log(pt.erfc(a)),
        lambda a, _w: pt.log(1 - pt.exp(-(a**2) - 1)),
        lambda a, _w: pt.log(1e-6 + pt.exp(-900 * a**2)),
        lambda a, w: pt.log(w * pt.exp(a) + pt.exp(w)),  # a mean in natural units
        lambda _a, w: pt.log(w),
    ],
    ids=["softplus", "logsumexp", "logaddexp", "erfc", "log1mexp", "floor", "mean", "transform"],
)
def test_formulas_that_pytensor_mends_or_that_stay_finite(write):
    assert look(unstable_formulas, formula, write) == []


def test_whole_numbers_that_overflow_and_what_is_rounded():
    (finding,) = look(narrow_types, whole_numbers, by=4)
    assert "int16 overflow" in finding.fact
    assert look(narrow_types, whole_numbers, by=1) == []
    (finding,) = look(narrow_types, cast, "float32")
    assert "7 digits" in finding.fact
    (finding,) = look(narrow_types, cast, "int64")
    assert "gradient is 0" in finding.fact
    assert look(narrow_types, cast, "") == []
