"""The parameter of every model that makes constants of its dims and data."""

from __future__ import annotations

import pytest

from firstgrad.backends.user_model import load_user_model
from firstgrad.errors import ModelError
from firstgrad.model import make_model
from helpers import write_model

BODY = """
import pymc as pm
with pm.Model() as model:
    pm.Normal("x", pm.Data("data", [1.0] * length), shape=length)
return model
"""


def test_constants_for_dims_and_data_are_made_after_the_function(tmp_path):
    given = make_model(write_model(tmp_path, BODY, parameters="length=1"), {"length": 2})
    assert hasattr(load_user_model(given).build().model["data"], "set_value")
    frozen = given.frozen()
    assert str(frozen).endswith("(freeze_dims_and_data=True, length=2)")
    assert not hasattr(load_user_model(frozen).build().model["data"], "set_value")
    assert frozen.without_freezing() == given


def test_a_function_with_such_a_parameter_does_it_itself(tmp_path):
    asked = write_model(tmp_path, "return freeze_dims_and_data", parameters="freeze_dims_and_data=False")
    with pytest.raises(ModelError, match="returned bool"):
        load_user_model(make_model(asked).frozen()).build()
