"""Random but valid cases and records for property tests, and how two of them are compared."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from firstgrad.case import BackendName, Case, GradientBackend, Sampler, Scenario, Target
from firstgrad.codec import to_json
from firstgrad.model import Model
from firstgrad.phase import Phase
from firstgrad.pose.spec import (
    Formulation,
    HmmAlgorithm,
    HmmSpec,
    Likelihood,
    Missing,
    PosePriors,
    PoseSpec,
    Skeleton,
    WalkAxis,
)
from firstgrad.record import (
    SCHEMA_VERSION,
    CacheUse,
    Check,
    Counts,
    Doubt,
    DrawCheck,
    Environment,
    Failure,
    FirstDraw,
    GroupFiniteness,
    HostFingerprint,
    Memory,
    MemoryPoint,
    Mismatch,
    PhaseRecord,
    Record,
    RewritePass,
    Status,
    Verdict,
)

_counts = st.integers(min_value=0, max_value=2**62)
_small = st.integers(min_value=1, max_value=200)
_texts = st.text(max_size=8)
_seconds = st.floats()  # nan and the infinities too: a store keeps what it is given
_positive = st.floats(min_value=1e-6, max_value=1e6)
_names = st.from_regex(r"[a-z_][a-z0-9_]{0,7}", fullmatch=True)


def same(one: object, other: object) -> bool:
    """Whether two dataclasses are equal, NaN being equal to NaN."""
    return to_json(one) == to_json(other)


def tuples(items: st.SearchStrategy) -> st.SearchStrategy[tuple]:
    """Draw short tuples."""
    return st.lists(items, max_size=3).map(tuple)


def sorted_pairs(values: st.SearchStrategy) -> st.SearchStrategy[tuple]:
    """Draw pairs of a name and a value, sorted by name."""
    return st.dictionaries(_names, values, max_size=3).map(lambda named: tuple(sorted(named.items())))


@st.composite
def pose_specs(draw: st.DrawFn) -> PoseSpec:
    """Draw a pose model of any kind."""
    n_directions = draw(st.integers(min_value=1, max_value=6))
    skeleton = draw(st.sampled_from(Skeleton))
    parents = None
    if skeleton is Skeleton.CUSTOM:
        parents = (-1, *(draw(st.integers(0, joint - 1)) for joint in range(1, n_directions + 1)))
    return draw(
        st.builds(
            PoseSpec,
            n_timesteps=_small,
            n_directions=st.just(n_directions),
            n_cameras=_small,
            seed=_counts,
            missed_fraction=st.floats(min_value=0, max_value=1, exclude_max=True),
            formulation=st.sampled_from(Formulation),
            likelihood=st.sampled_from(Likelihood),
            missing=st.sampled_from(Missing),
            walk_axis=st.sampled_from(WalkAxis),
            skeleton=st.just(skeleton),
            parents=st.just(parents),
            hmm=st.none() | st.builds(HmmSpec, n_states=_small, algorithm=st.sampled_from(HmmAlgorithm)),
            priors=st.builds(PosePriors, rho_sigma=_positive, kappa_sigma=_positive),
            force_unrolled=st.booleans(),
        )
    )


def external_models() -> st.SearchStrategy[Model]:
    """Draw references to a user's own model."""
    scalars = st.booleans() | _counts | st.floats(allow_nan=False, allow_infinity=False) | _texts
    return st.builds(
        Model,
        reference=st.sampled_from(["package.module:build", "path/file.py:model"]),
        parameters=sorted_pairs(scalars),
    )


def cases() -> st.SearchStrategy[Case]:
    """Draw cases."""
    return gradients() | draws()


def draws() -> st.SearchStrategy[Case]:
    """Draw cases in which a sampler draws."""
    jax = st.just(BackendName.JAX)
    known = {"model": pose_specs() | external_models(), "target": st.just(Target.FIRST_DRAW), "chains": _small}
    others = st.sampled_from([sampler for sampler in Sampler if sampler is not Sampler.FIRSTGRAD])
    return (
        st.builds(Case, backend=jax, sampler=others, **known)
        | st.builds(Case, backend=st.just(BackendName.JAX_DIRECT), sampler=st.just(Sampler.FIRSTGRAD), **known)
        | st.builds(
            Case,
            backend=jax,
            sampler=st.sampled_from([Sampler.AUTO, Sampler.NUTPIE]),
            gradient_backend=st.sampled_from(GradientBackend),
            **known,
        )
    )


def gradients() -> st.SearchStrategy[Case]:
    """Draw cases of a gradient."""
    return st.builds(
        Case,
        model=pose_specs() | external_models(),
        backend=st.sampled_from(BackendName),
        target=st.sampled_from([Target.DLOGP, Target.LOGP_DLOGP]),
        scenario=st.sampled_from(Scenario),
        evaluations=st.integers(0, 10**12),
        time_limit_seconds=st.none() | _positive,
        memory_limit_bytes=st.none() | _counts.map(lambda size: size + 1),
    )


def environments() -> st.SearchStrategy[Environment]:
    """Draw environments."""
    return st.builds(
        Environment,
        versions=sorted_pairs(_texts),
        threads=_small,
        host=st.builds(HostFingerprint, cores=_small, memory_bytes=_counts),
        load_before=_seconds,
        label=st.sampled_from(["", "main", "a branch"]) | _texts,
    )


def checks() -> st.SearchStrategy[Check]:
    """Draw verdicts with their reasons."""
    return st.builds(
        Check,
        verdict=st.sampled_from(Verdict),
        logp=st.none() | _seconds,
        mismatches=tuples(st.builds(Mismatch, index=tuples(_counts), expected=_seconds, got=_seconds)),
        finiteness=tuples(st.builds(GroupFiniteness, values=_counts)),
        points=_counts,
        draws=st.none() | st.builds(DrawCheck, not_finite=tuples(_texts), moved=st.none() | _counts),
    )


def records() -> st.SearchStrategy[Record]:
    """Draw records of every status, with and without each of their parts."""
    phases = st.builds(PhaseRecord, phase=st.sampled_from(Phase), began_seconds=_seconds)
    memory = st.builds(
        Memory,
        peak_rss_bytes=_counts,
        retained_bytes=st.none() | st.integers(-(2**62), 2**62),
        timeline=tuples(st.builds(MemoryPoint, rss_bytes=_counts, children_rss_bytes=_counts)),
    )
    return st.builds(
        Record,
        record_id=st.uuids().map(str),
        started_at=st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
        case=cases(),
        status=st.sampled_from(Status),
        environment=environments(),
        phases=tuples(phases),
        time_to_first_gradient_seconds=st.none() | _seconds,
        time_to_first_gradient_cpu_seconds=st.none() | _seconds,
        time_to_first_draw_seconds=st.none() | _seconds,
        draw=st.none() | st.builds(FirstDraw, seconds=tuples(_seconds)),
        initial_point_seconds=_seconds,
        gc_seconds=_seconds,
        rewrite_passes=tuples(st.builds(RewritePass, nodes_before=st.none() | _counts)),
        counts=st.none()
        | st.builds(Counts, groups=_counts, values=_counts, nodes_by_type=tuples(st.tuples(_texts, _counts))),
        evaluation_seconds=tuples(_seconds),
        memory=st.none() | memory,
        caches=st.none() | st.builds(CacheUse, contradiction=st.none() | _texts),
        check=checks(),
        failure=st.none() | st.builds(Failure, phase=st.none() | st.sampled_from(Phase)),
        doubts=tuples(st.sampled_from(Doubt)),
        schema_version=st.just(SCHEMA_VERSION),
    )


def with_clocks_that_agree(record: Record) -> Record:
    """The same record with seconds as a worker takes them: one phase after the other."""
    phases, now, memory = [], 0.5, record.memory
    if memory is not None:
        timeline = tuple(replace(point, at_seconds=float(number)) for number, point in enumerate(memory.timeline))
        memory = replace(memory, timeline=timeline)
    for phase, wall in zip(record.phases, (0.0, 2.5, 0.25), strict=False):
        phases.append(replace(phase, began_seconds=now, wall_seconds=wall, cpu_seconds=wall))
        now += wall
    return replace(
        record,
        phases=tuple(phases),
        memory=memory,
        time_to_first_gradient_seconds=None if record.time_to_first_gradient_seconds is None else now,
        time_to_first_gradient_cpu_seconds=None if record.time_to_first_gradient_cpu_seconds is None else now,
        time_to_first_draw_seconds=None if record.time_to_first_draw_seconds is None else now,
        initial_point_seconds=0.25,
        gc_seconds=0.0,
        evaluation_seconds=tuple(0.0 for _ in record.evaluation_seconds),
    )
