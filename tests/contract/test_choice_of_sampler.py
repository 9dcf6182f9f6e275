"""Whom ``pm.sample`` takes where nobody is named: firstgrad says beforehand what PyMC then does."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytest
from pymc.sampling import mcmc

from builders import make_case
from firstgrad.backends import load_backend
from firstgrad.backends.base import BuiltModel
from firstgrad.backends.draws import mode_options
from firstgrad.case import BackendName, GradientBackend, Sampler, Target
from firstgrad.errors import ModelError, UnavailableError
from firstgrad.observe.probes import NUTPIE_IS_NEW

pytest.importorskip("nutpie")
try:
    NUTPIE_IS_NEW.find()
except UnavailableError:
    pytest.skip("this PyMC chooses no sampler", allow_module_level=True)


class TakenError(Exception):
    """The sampler that PyMC went to."""


@pytest.fixture
def stopped(monkeypatch):
    """PyMC, stopped where it has chosen."""

    def take(name):
        def taken(*_, **__):
            raise TakenError(name)

        return taken

    def external(sampler, *_, **__):
        raise TakenError(sampler)

    monkeypatch.setattr(mcmc, "_sample_external_nuts", external)
    monkeypatch.setattr(mcmc, "init_nuts", take("pymc"))
    monkeypatch.setattr(mcmc, "instantiate_steppers", take("pymc"))


def model_of(kind):
    with pm.Model() as model:
        rate = pm.Normal("rate")
        if kind == "discrete":
            rate = rate + pm.Poisson("count", 3.0, initval=2)
        pm.Normal("seen", rate, 1.0, observed=np.zeros(3))
    return model


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
@pytest.mark.parametrize("name", [BackendName.NUMBA, BackendName.JAX, BackendName.C])
def test_pymc_takes_whom_firstgrad_says(name, kind, stopped):  # noqa: ARG001 - it stops PyMC
    backend, model = load_backend(name), model_of(kind)
    said, reason = backend.choose_sampler(BuiltModel(model, None), make_case(target=Target.FIRST_DRAW, backend=name))
    options, flags = mode_options(backend)
    with flags, pytest.raises(TakenError, match=said):
        pm.sample(model=model, chains=1, progressbar=False, **options)
    assert said is (Sampler.PYMC if kind == "discrete" or name is BackendName.C else Sampler.NUTPIE)
    assert ("count" in reason) is (kind == "discrete")


def test_a_gradient_of_jax_is_refused_where_another_sampler_is_taken():
    case = make_case(target=Target.FIRST_DRAW, backend=BackendName.JAX, gradient_backend=GradientBackend.JAX)
    with pytest.raises(ModelError, match=r"nutpie's, and pm.sample takes pymc here: .*count"):
        load_backend(case.backend).choose_sampler(BuiltModel(model_of("discrete"), None), case)
