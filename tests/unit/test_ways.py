"""A check without a named backend: the first that works, another way beside it, and what is said of both."""

from __future__ import annotations

import pytest

from builders import make_record
from firstgrad.case import BackendName, Target
from firstgrad.cli.check import make_result
from firstgrad.measuring import ways
from firstgrad.measuring.ways import check_gradient_of
from firstgrad.model import Model
from firstgrad.phase import Phase
from firstgrad.record import (
    Check,
    Failure,
    GroupFiniteness,
    GroupSlope,
    Origin,
    OriginKind,
    Slope,
    Status,
    Verdict,
    WrongDerivative,
)
from firstgrad.show.records import check_parts
from firstgrad.show.result import Result, Text

MODEL = Model(reference="model.py:build")
RIGHT = Slope(expected=2.0, got=2.0, allowed=0.1)
WRONG = Slope(
    expected=2.0,
    got=3.0,
    allowed=0.1,
    groups=(GroupSlope(group="tilt", expected=1.0, got=2.0, allowed=0.1),),
    derivatives=(
        WrongDerivative(
            operation="HalfTurn",
            input="input 2",
            variables=("tilt",),
            expected=1.0,
            got=2.0,
            line="model.py:4: x = f(y)",
        ),
    ),
)
ORIGIN = Origin(
    places=("keep[channel=tv]",),
    values=3,
    is_gradient=True,
    kind=OriginKind.POWER,
    fact="the derivative of x ** 0.5 at x = 0 is infinite",
    at=(2,),
    line="model.py:7: y = x ** a",
    variables=("keep",),
    instead="keep the base above 0",
)


def good(slope=RIGHT, **fields):
    group = GroupFiniteness(group="keep", values=3, nan=fields.pop("nan", 0), infinite=0)
    return {"check": Check(verdict=Verdict.NO_ORACLE, logp=-1.0, finiteness=(group,), slope=slope, **fields)}


def failed(message, phase=Phase.LINK, status=Status.FAILED):
    return {"status": status, "failure": Failure(kind="ModelError", message=message, phase=phase)}


@pytest.fixture
def asked(monkeypatch):
    """All backends are installed but one that a test leaves out; the cases that were measured, in turn."""
    monkeypatch.setattr(ways, "is_here", lambda name: name is not BackendName.C)
    return []


def check_with(asked, answers, **named):
    def measure(case):
        asked.append(case)
        return make_record(case=case, **answers[str(case.backend)])

    return check_gradient_of(MODEL, measure, **named)


def told(record):
    return "\n".join(str(part.text) for part in check_parts(record) if isinstance(part, Text))


def test_the_first_that_works_is_taken_and_the_other_derivative_asked(asked):
    record = check_with(asked, {"jax": good(), "jax_direct": good()}, time_limit_seconds=50.0)
    assert [str(case.backend) for case in asked] == ["jax", "jax_direct"]
    assert {(case.target, case.evaluations, case.time_limit_seconds) for case in asked} == {
        (Target.LOGP_DLOGP, 0, 50.0)
    }
    assert record.case.backend is BackendName.JAX
    assert [(one.backend, one.is_right) for one in record.check.others] == [("jax_direct", True)]
    assert "since others cannot" not in told(record)
    assert make_result(record).exit_code == 0


def test_who_cannot_is_named_with_the_reason(asked):
    answers = {"jax": failed("no JAX\nfor a spline"), "jax_direct": failed("", status=Status.TIMEOUT), "numba": good()}
    record = check_with(asked, answers)
    assert [str(case.backend) for case in asked] == ["jax", "jax_direct", "numba"]
    assert "checked with numba, since others cannot:\n  jax: no JAX for a spline\n  jax_direct: timeout" in told(record)


def test_the_interpreter_is_the_last_and_what_is_not_installed_is_said(asked):
    answers = dict.fromkeys(("jax", "jax_direct", "numba"), failed("no")) | {"interpreter": good()}
    record = check_with(asked, answers)
    assert record.case.backend is BackendName.INTERPRETER
    assert "c: a C++ compiler (g++) is not installed" in told(record)
    answers["interpreter"] = failed("neither")
    assert check_with(asked, answers).case.backend is BackendName.JAX


def test_what_is_the_models_own_fault_is_asked_once(asked):
    record = check_with(asked, {"jax": failed("no file", phase=Phase.BUILD)})
    assert [str(case.backend) for case in asked] == ["jax"]
    assert record.failure.message == "no file"


def test_jaxs_own_derivative_is_held_against_pytensors(asked):
    check_with(asked, {"jax": failed("no"), "jax_direct": good(), "interpreter": good()})
    assert [str(case.backend) for case in asked] == ["jax", "jax_direct", "interpreter"]


@pytest.mark.parametrize("fields", [{"verdict": Verdict.AGREES}, {"random_operations": ("Minibatch",)}])
def test_nobody_else_is_asked_where_that_would_tell_nothing(asked, fields):
    check = {"verdict": Verdict.NO_ORACLE, "logp": 0.0} | fields
    check_with(asked, {"jax": {"check": Check(**check)}})
    assert len(asked) == 1


def test_a_named_backend_is_the_only_one(asked):
    check_with(asked, {"numba": failed("no")}, backend=BackendName.NUMBA)
    assert [str(case.backend) for case in asked] == ["numba"]


def test_the_way_that_is_right_is_said(asked):
    record = check_with(asked, {"jax": good(), "jax_direct": good(nan=1, origins=(ORIGIN,), slope=None)})
    text = told(record)
    assert "JAX's own derivative (jax_direct" in text
    assert "NOT FINITE in keep; PyTensor's gradient (jax) is right: take that" in text
    assert "gradient by keep[channel=tv] and 2 more values are made here: the derivative of x ** 0.5" in text
    assert make_result(record).exit_code == 0
    record = check_with(asked, {"jax": good(nan=1), "jax_direct": good()})
    assert "JAX's own derivative (jax_direct" in told(record)
    assert "is right: take that" in told(record)
    assert make_result(record).exit_code == 1


def test_where_neither_is_right_that_is_said(asked):
    record = check_with(asked, {"jax": good(slope=WRONG), "jax_direct": good(slope=WRONG)})
    assert "DIFFERS from finite differences (slope 3); neither can be trusted here" in told(record)
    assert make_result(record).exit_code == 1


def test_a_wrong_gradient_is_told_by_group_operation_and_line():
    text = told(make_record(**good(slope=WRONG)))
    assert "  in tilt: 2, by finite differences 1" in text
    assert "the derivative of HalfTurn by its input 2 (computed from tilt) is wrong" in text
    assert "    model.py:4: x = f(y)" in text


def test_where_a_nan_is_made_is_told_with_the_line_and_what_to_write():
    record = make_record(**good(nan=3, slope=None, origins=(ORIGIN,), rewriting_seconds=0.25))
    text = told(record)
    assert "  model.py:7: y = x ** a\n  computed from keep, element [2]\n  instead: keep the base above 0" in text
    assert "to rewrite them took 250 ms" in text
    assert "mask" not in text
    assert isinstance(make_result(record), Result)
