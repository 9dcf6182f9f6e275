"""What makes two compiles the same to a user: the model's shape, or the place in the code."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from typing import Any


def model_key(model: Any) -> str:
    """Name a model by its value variables (names, dtypes, static shapes) and how many terms it has.

    Parameters
    ----------
    model : pymc.Model
        Only read.

    Returns
    -------
    str
        Equal in every process; '' where this is no such model.
    """
    with suppress(Exception):
        parts = [
            f"{var.name} {getattr(var.type, 'dtype', '')} {getattr(var.type, 'shape', '')}" for var in model.value_vars
        ]
        parts += [f"{model.name}", f"{len(model.potentials)} potentials"]
        parts += [f"{rv.name} {_shape(model, rv)}" for rv in model.observed_RVs]
        return f"model {hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:16]}"
    return ""


def place_key(file: str, line: int) -> str:
    """Name the place of a ``with`` statement.

    Returns
    -------
    str
        '' where it has no name of its own: all of ``python -c`` is in ``<string>``. A notebook's cell has one of its
        code's digest, in a folder of its kernel's number, which changes.
    """
    return "" if file.startswith("<") else f"place {re.sub(r'^.*/ipykernel_[0-9]+/', 'ipykernel/', file)}:{line}"


def _shape(model: Any, rv: Any) -> str:
    """Return the shape of an observed variable's data; '' where it is not static."""
    with suppress(Exception):
        return str(model.rvs_to_values[rv].type.shape)
    return ""
