"""firstgrad: how long until the first gradient of a PyMC model, how fast the next ones, and why.

The public names are loaded when they are first used, so importing this package imports nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firstgrad.case import BackendName, Case, ExternalModel, Scenario, Target
    from firstgrad.data import PoseData
    from firstgrad.errors import BackendUnavailable, FirstgradError, ModelError, SpecError, StoreError
    from firstgrad.fast.check_gradient import check_gradient
    from firstgrad.fast.effort import Effort
    from firstgrad.fast.fast_gradient import fast_gradient
    from firstgrad.fast.fast_mode import fast_mode
    from firstgrad.measure.launch import measure as measure_case
    from firstgrad.models.factory import build_pose_model
    from firstgrad.points import to_per_joint, to_vectorised
    from firstgrad.progress.compile_progress import compile_progress
    from firstgrad.record import Phase, Record, Status, Verdict
    from firstgrad.spec import HmmSpec, PosePriors, PoseSpec
    from firstgrad.store import Store

_HOMES = {
    "BackendName": "case",
    "BackendUnavailable": "errors",
    "Case": "case",
    "Effort": "fast.effort",
    "ExternalModel": "case",
    "FirstgradError": "errors",
    "HmmSpec": "spec",
    "ModelError": "errors",
    "Phase": "record",
    "PoseData": "data",
    "PosePriors": "spec",
    "PoseSpec": "spec",
    "Record": "record",
    "Scenario": "case",
    "SpecError": "errors",
    "Status": "record",
    "Store": "store",
    "StoreError": "errors",
    "Target": "case",
    "Verdict": "record",
    "build_pose_model": "models.factory",
    "check_gradient": "fast.check_gradient",
    "compile_progress": "progress.compile_progress",
    "fast_gradient": "fast.fast_gradient",
    "fast_mode": "fast.fast_mode",
    "to_per_joint": "points",
    "to_vectorised": "points",
}

__all__ = [
    "BackendName",
    "BackendUnavailable",
    "Case",
    "Effort",
    "ExternalModel",
    "FirstgradError",
    "HmmSpec",
    "ModelError",
    "Phase",
    "PoseData",
    "PosePriors",
    "PoseSpec",
    "Record",
    "Scenario",
    "SpecError",
    "Status",
    "Store",
    "StoreError",
    "Target",
    "Verdict",
    "build_pose_model",
    "check_gradient",
    "compile_progress",
    "fast_gradient",
    "fast_mode",
    "measure_case",
    "to_per_joint",
    "to_vectorised",
]


def __getattr__(name: str) -> Any:
    if name == "measure_case":
        # Not `measure`: that is the sub-package's name, and an import of it would replace the function.
        return import_module("firstgrad.measure.launch").measure
    if name in _HOMES:
        return getattr(import_module(f"firstgrad.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
