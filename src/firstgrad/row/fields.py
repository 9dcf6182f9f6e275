"""A row: what tables need of a record, as flat as a line of a table, and a hundredth of its size."""

from __future__ import annotations

from dataclasses import dataclass

from firstgrad.case import BackendName, Scenario, Target
from firstgrad.pose.spec import Scalar
from firstgrad.record import Doubt, Status, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sample as a line of a table.

    Attributes
    ----------
    record_id, started_at : str
        As in the record.
    question : str
        Digest of the case without its limits and its number of evaluations: what was asked, however long one was
        ready to wait for the answer. Samples of one question under equal conditions belong together.
    family : str
        ``pose``, or the reference of the user's model.
    axes : tuple of (str, scalar)
        What varies within a family, sorted by name. Of the pose model: ``timesteps``, ``directions``, ``cameras``,
        ``states`` (0 without HMM), ``hmm_algorithm`` ('' without HMM), ``formulation``, ``likelihood``, ``missing``,
        ``skeleton``, ``seed``, and ``other`` ('' where all the rest of the spec is as by default). Of a user's model:
        its parameters.
    model : str
        In one short line for people.
    backend, target, scenario
        As in the case.
    evaluations : int
        As in the case.
    time_limit_seconds, memory_limit_bytes : float or int, optional
        As in the case.
    status : Status
        How the sample ended.
    reason : str
        Why its numbers don't count; '' where they do.
    verdict : Verdict
        Of the check.
    doubts : tuple of Doubt
        What may spoil it.
    host : str
        Digest of the host fingerprint.
    conditions : str
        Digest of all that must be equal before numbers may be put together: host, Python, compiler, threads, flags,
        device, bytecode and the packages' versions (without firstgrad's own).
    device : str
        As in the environment; ``cpu`` where a record doesn't tell.
    versions : tuple of (str, str)
        Of the packages.
    label, git_commit : str
        As in the environment.
    load_before : float
        As in the environment.
    sample_seconds : float
        How long the whole sample took, import and check included, as far as the record tells; without the filling
        of a cache before a ``warm`` one.
    numbers : tuple of float or None
        The metrics, in the order of `firstgrad.metrics.METRICS`; none where the record has none, whatever `reason`
        says. What a stopped sample's phases tell is there too.
    bounds : tuple of float or None
        In the same order: what the number is at least, where a limit stopped the sample before it was known. Where
        there is a bound, the number (of the peak memory) is what had been seen by then.
    """

    record_id: str
    started_at: str
    question: str
    family: str
    axes: tuple[tuple[str, Scalar], ...]
    model: str
    backend: BackendName
    target: Target
    scenario: Scenario
    evaluations: int
    time_limit_seconds: float | None
    memory_limit_bytes: int | None
    status: Status
    reason: str
    verdict: Verdict
    doubts: tuple[Doubt, ...]
    host: str
    conditions: str
    device: str
    versions: tuple[tuple[str, str], ...]
    label: str
    git_commit: str
    load_before: float
    sample_seconds: float
    numbers: tuple[float | None, ...]
    bounds: tuple[float | None, ...]
