"""firstgrad: how long until the first gradient of a PyMC model, how fast the next ones, and why.

The public names are loaded when they are first used, so importing this package imports nothing heavy.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # importing `typing` takes some 20 ms, in which Ctrl-C would be Python's
if TYPE_CHECKING:
    from typing import Any

    from firstgrad.api import advise, bisect, check, compare, lint, measure, precompile, profile
    from firstgrad.case import BackendName, Case, Scenario, Target
    from firstgrad.errors import BackendUnavailable, FirstgradError, ModelError, SpecError, StoreError
    from firstgrad.fast.batching import batch, with_batching
    from firstgrad.fast.draws import nutpie_model, sample
    from firstgrad.fast.function import GradientNote, check_gradient
    from firstgrad.fast.gradient import fast_gradient
    from firstgrad.fast.xla import Effort, fast_mode
    from firstgrad.measuring.launch import measure as measure_case
    from firstgrad.model import Model
    from firstgrad.phase import Phase
    from firstgrad.pose.data import PoseData
    from firstgrad.pose.graph import build_pose_model
    from firstgrad.pose.points import to_per_joint, to_vectorised
    from firstgrad.pose.spec import HmmSpec, PosePriors, PoseSpec
    from firstgrad.progress.compile_progress import compile_progress
    from firstgrad.record import Record, Status, Verdict
    from firstgrad.store import Store
    from firstgrad.tracing.launch import trace

_HOMES = {
    "BackendName": "case",
    "BackendUnavailable": "errors",
    "Case": "case",
    "Effort": "fast.xla",
    "Model": "case",
    "FirstgradError": "errors",
    "GradientNote": "fast.function",
    "HmmSpec": "pose.spec",
    "ModelError": "errors",
    "Phase": "phase",
    "PoseData": "pose.data",
    "PosePriors": "pose.spec",
    "PoseSpec": "pose.spec",
    "Record": "record",
    "Scenario": "case",
    "SpecError": "errors",
    "Status": "record",
    "Store": "store",
    "StoreError": "errors",
    "Target": "case",
    "Verdict": "record",
    "advise": "api",
    "batch": "fast.batching",
    "bisect": "api",
    "build_pose_model": "pose.graph",
    "check": "api",
    "check_gradient": "fast.function",
    "compare": "api",
    "compile_progress": "progress.compile_progress",
    "fast_gradient": "fast.gradient",
    "fast_mode": "fast.xla",
    "lint": "api",
    "measure": "api",
    "nutpie_model": "fast.draws",
    "precompile": "api",
    "profile": "api",
    "sample": "fast.draws",
    "to_per_joint": "pose.points",
    "to_vectorised": "pose.points",
    "trace": "tracing.launch",
    "with_batching": "fast.batching",
}

__all__ = [
    "BackendName",
    "BackendUnavailable",
    "Case",
    "Effort",
    "FirstgradError",
    "GradientNote",
    "HmmSpec",
    "Model",
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
    "advise",
    "batch",
    "bisect",
    "build_pose_model",
    "check",
    "check_gradient",
    "compare",
    "compile_progress",
    "fast_gradient",
    "fast_mode",
    "lint",
    "measure",
    "measure_case",
    "nutpie_model",
    "precompile",
    "profile",
    "sample",
    "to_per_joint",
    "to_vectorised",
    "trace",
    "with_batching",
]


def __getattr__(name: str) -> Any:
    if name == "measure_case":
        return import_module("firstgrad.measuring.launch").measure
    if name in _HOMES:
        return getattr(import_module(f"firstgrad.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
