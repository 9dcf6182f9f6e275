"""What the JAX backend says where an older PyTensor cannot do it. Nothing is compiled."""

from __future__ import annotations

import pytest

from firstgrad.backends.base import BuiltModel, Hooks
from firstgrad.backends.jax import JaxBackend
from firstgrad.backends.pytensor import PyTensorBackend
from firstgrad.case import Target
from firstgrad.errors import ModelError

HOOKS = Hooks(lambda: None, lambda *_: None)


def compile_that_raises(error):
    def compile_(*_):
        raise error

    return compile_


def test_a_graph_that_pytensor_has_no_jax_for_is_told_with_the_way_out(monkeypatch):
    # As PyMC 5.26 says it of an HMM by scan.
    said = NotImplementedError("Scan with MIT-MOT (gradients of scan) cannot yet be converted to JAX")
    monkeypatch.setattr(PyTensorBackend, "compile", compile_that_raises(said))
    with pytest.raises(ModelError, match=r"gradients of scan.*newer PyMC.*--hmm-algorithm tree") as raised:
        JaxBackend().compile(BuiltModel(None, None), None, Target.DLOGP, HOOKS)
    assert raised.value.__cause__ is said


def test_of_a_users_own_model_nothing_is_said_of_the_pose_model(monkeypatch):
    said = NotImplementedError("No JAX conversion for the given `Op`: Mine{" + "a=1, " * 200 + "}")
    monkeypatch.setattr(PyTensorBackend, "compile", compile_that_raises(said))
    with pytest.raises(ModelError, match=r"Mine.*jax_funcify") as raised:
        JaxBackend().compile(BuiltModel(None, None, is_own=True), None, Target.DLOGP, HOOKS)
    assert "pose" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_any_other_error_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(PyTensorBackend, "compile", compile_that_raises(TypeError("a bug")))
    with pytest.raises(TypeError, match="a bug"):
        JaxBackend().compile(None, None, Target.DLOGP, HOOKS)
