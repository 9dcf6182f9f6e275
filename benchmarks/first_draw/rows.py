"""What the first-draw table compares: models, samplers, backends, and PyMC releases."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firstgrad.case import BackendName, Case, GradientBackend, Sampler, Scenario, Target
from firstgrad.model import as_model, make_model
from firstgrad.pose.spec import HmmSpec, PoseSpec

if TYPE_CHECKING:
    from firstgrad.model import Model

HERE = ""
"""The release of this Python's own environment: the newest."""
OLDER = {"5.28.5": BackendName.C, "6.0.1": BackendName.NUMBA, "6.2.0": BackendName.NUMBA, "6.3.2": BackendName.NUMBA}
"""Pinned releases and their default backends: the last before nutpie was ``pm.sample``'s choice, and those since."""

POSE, POSE_HMM = as_model(PoseSpec()), as_model(PoseSpec(hmm=HmmSpec()))
NAMES = ("eight_schools", "hierarchical", "glm", "scan_time_series", "gaussian_process")
EXAMPLES = {name: make_model(f"examples/models/{name}.py:build") for name in NAMES}
TITLES = {POSE: "pose, no HMM", POSE_HMM: "pose, HMM", **{model: name for name, model in EXAMPLES.items()}}
TIME_LIMIT_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to a model's first draw, measured cold and then warm.

    Attributes
    ----------
    release : str
        A pinned PyMC release, or `HERE`.
    model, sampler, backend, gradient_backend
        Of the case.
    """

    release: str = HERE
    model: Model
    sampler: Sampler
    backend: BackendName
    gradient_backend: GradientBackend | None = None

    @property
    def cold(self) -> Case:
        """The case with empty caches."""
        return Case(
            model=self.model,
            backend=self.backend,
            target=Target.FIRST_DRAW,
            sampler=self.sampler,
            gradient_backend=self.gradient_backend,
            evaluations=0,
            time_limit_seconds=TIME_LIMIT_SECONDS,
        )

    @property
    def warm(self) -> Case:
        """The case with the caches that the cold sample filled."""
        return replace(self.cold, scenario=Scenario.WARM)

    @property
    def way(self) -> str:
        """Who draws, by what."""
        gradient = f", {self.gradient_backend}'s gradient" if self.gradient_backend else ""
        return f"{self.sampler}, {self.backend}{gradient}"


def all_rows() -> tuple[Row, ...]:
    """List all rows, the most important first: a run may end before the last."""
    return (*_newest(), *_older())


def _newest() -> list[Row]:
    every = (
        (Sampler.FIRSTGRAD, BackendName.JAX_DIRECT),
        (Sampler.NUTPIE, BackendName.NUMBA),
        (Sampler.NUTPIE, BackendName.JAX),
        (Sampler.PYMC, BackendName.NUMBA),
        (Sampler.NUMPYRO, BackendName.JAX),
    )
    rows = [
        Row(model=model, sampler=sampler, backend=backend)
        for model in (POSE, POSE_HMM, *EXAMPLES.values())
        for sampler, backend in every
    ]
    rows += [
        Row(model=model, sampler=Sampler.NUTPIE, backend=BackendName.JAX, gradient_backend=GradientBackend.JAX)
        for model in (POSE, POSE_HMM)
    ]
    return [*rows, Row(model=POSE, sampler=Sampler.PYMC, backend=BackendName.C)]


def _older() -> list[Row]:
    """List the default of each release, and nutpie with JAX there; the HMM last, which takes longest."""
    rows = []
    for model in (POSE, EXAMPLES["hierarchical"], POSE_HMM):
        for release, backend in OLDER.items():
            rows.append(Row(release=release, model=model, sampler=Sampler.AUTO, backend=backend))
            if model is POSE:
                rows.append(Row(release=release, model=model, sampler=Sampler.NUTPIE, backend=BackendName.JAX))
    return rows
