"""Remedies: known ways to make a model's gradient cheaper, or right, each backed by a measured case.

Each is a function that recognises it in a `Situation` and says what it would save here and how it is done; `REMEDIES`
is the catalogue.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.advising.advice import ratio_of_times, ratio_text
from firstgrad.advising.situation import EVALUATION, FIRST_GRADIENT, Basis, RemedyName, Saving
from firstgrad.advising.workload import Counted
from firstgrad.case import BackendName, Scenario, Target
from firstgrad.pose.spec import Formulation, HmmAlgorithm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from firstgrad.advising.situation import Situation
    from firstgrad.record import Counts, GroupFiniteness

    type Remedy = Callable[[Situation], ProposedRemedy | None]

_FEWEST_NUMBERED = 3
_FEWEST_NODES, _FEWEST_PER_GROUP = 1000, 120
_FEWEST_INDEXED, _FEWEST_INDEXED_PER_GROUP = 30, 4
_INDEXING = ("Subtensor", "ScalarSubtensor", "IncSubtensor")
_LEAST_GROUPS = 8  # with fewer, one backward pass has little to save
_PASS_FOR_EACH = (BackendName.C, BackendName.NUMBA, BackendName.JAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedRemedy:
    """A remedy that fits."""

    remedy: RemedyName
    because: str  # what it was recognised by
    how: str  # what to do
    savings: tuple[Saving, ...] = ()  # what it would save; empty where it isn't seconds that are gained
    instead: str = ""  # what is gained instead of seconds; '' where savings tell


def find_remedies(situation: Situation) -> tuple[ProposedRemedy, ...]:
    """Find the remedies that fit, in the order of the catalogue."""
    return tuple(proposed for remedy in REMEDIES.values() if (proposed := remedy(situation)) is not None)


def _mask_first(situation: Situation) -> ProposedRemedy | None:
    """Propose a finite stand-in before the arithmetic: recognised by gradients that are NaN or infinite."""
    bad = next((record for record in situation.records if record.check.n_not_finite), None)
    if bad is None:
        return None
    groups = [group for group in bad.check.finiteness if group.nan + group.infinite]
    return ProposedRemedy(
        remedy=RemedyName.MASK_FIRST,
        because=f"{bad.check.n_not_finite} gradient values in {len(groups)} of {len(bad.check.finiteness)} groups "
        f"are NaN or infinite, {groups[0].group} first",
        how="where(mask, f(x), 0) has a finite value and a NaN gradient, since 0 x NaN is NaN. Replace missing data "
        "before the arithmetic, and mask afterwards: filled = np.where(mask, x, 0.0), then pt.where(mask, f(filled), "
        "0.0). firstgrad check names the groups; the pose model does it with --missing safe",
        savings=situation.estimate_savings(RemedyName.MASK_FIRST),
        instead="a gradient that can be sampled with. Masking first costs nothing, as the measured case shows: "
        "without it nutpie refuses to start, and PyMC's own sampler diverges at every draw and ends without an error",
    )


# --- one array a quantity -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedGroups:
    """Groups that differ in a number within their names only: how many, and how many values each has."""

    pattern: str
    groups: int
    values: int


def numbered_groups(groups: Iterable[GroupFiniteness]) -> tuple[NumberedGroups, ...]:
    """Find variables that were written in a loop: ``raw_u_1``, ``raw_u_2``, ``raw_u_3``, of one size.

    With at least three members each, those with most first; ``#`` stands for the number.
    """
    counts = Counter((re.sub(r"\d+", "#", one.group), one.values) for one in groups if re.search(r"\d", one.group))
    return tuple(
        NumberedGroups(pattern=pattern, groups=count, values=values)
        for (pattern, values), count in counts.most_common()
        if count >= _FEWEST_NUMBERED
    )


def _vectorise(situation: Situation) -> ProposedRemedy | None:
    """Propose one array a quantity: recognised by numbered groups; measured where there is another formulation."""
    checks = (record.check for record in situation.samples_of_model())
    numbered = next((groups for check in checks if (groups := numbered_groups(check.finiteness))), ())
    pose = situation.model.pose
    if not numbered or (pose is not None and pose.formulation is Formulation.VECTORISED):
        return None
    listed = ", ".join(f"{one.groups} called {one.pattern} of {one.values} values" for one in numbered[:3])
    return ProposedRemedy(
        remedy=RemedyName.VECTORISE,
        because=f"variables differ in a number only: {listed}",
        how="Write one variable with a leading axis instead: raw_u = pm.Normal('raw_u', shape=(K, T, 3)) for "
        "raw_u_1 ... raw_u_K, and index or reduce along that axis without a Python loop. The density stays the same; "
        "firstgrad's own: --formulation vectorised (src/firstgrad/pose/vectorised.py)",
        savings=tuple(_measured_vectorised(situation)) or situation.estimate_savings(RemedyName.VECTORISE),
    )


def _measured_vectorised(situation: Situation) -> Iterator[Saving]:
    """Compare the two formulations on the backend that is best for the given one, in each scenario."""
    if situation.model.pose is None:
        return
    for advice in situation.advice.scenarios:
        given, other = (
            [offer for offer in advice.offers if offer.choice.formulation == formulation]
            for formulation in (Formulation.PER_JOINT, Formulation.VECTORISED)
        )
        pairs = [(one, two) for one in given for two in other if one.choice.backend == two.choice.backend]
        for without, having in pairs[:1]:
            yield Saving(
                basis=Basis.MEASURED,
                ratio=ratio_of_times(having.totals, without.totals),
                whole_seconds=without.total.value,
                of_what=f"total time with {without.choice.backend}, {without.scenario}",
            )


# --- loops --------------------------------------------------------------------------------------------------------


def looks_unrolled(counts: Counts) -> bool:
    """Whether a Python loop seems to have written the graph.

    A loop over ``x[t]`` leaves an indexing node a step, and its gradient another one, whatever is merged later on;
    and many nodes for few variables. None of the models in ``examples/models/`` but the unrolled one is like that.
    """
    is_large = counts.nodes_before >= max(_FEWEST_NODES, _FEWEST_PER_GROUP * counts.groups)
    return is_large and _indexed(counts) >= max(_FEWEST_INDEXED, _FEWEST_INDEXED_PER_GROUP * counts.groups)


def _indexed(counts: Counts) -> int:
    return sum(number for name, number in counts.nodes_by_type if name in _INDEXING)


def _roll_loops(situation: Situation) -> ProposedRemedy | None:
    """Propose a scan or one array operation, where a Python loop writes nodes for every step."""
    if situation.model.pose is not None:
        hmm = situation.model.pose.hmm
        if hmm is None or hmm.algorithm is not HmmAlgorithm.UNROLLED:
            return None
        because = "--hmm-algorithm unrolled"
    else:
        counts = next((record.counts for record in situation.samples_of_model() if record.counts), None)
        if counts is None or not looks_unrolled(counts):
            return None
        because = (
            f"{counts.nodes_before:,} nodes for {counts.groups} variables, and {_indexed(counts)} nodes that take or "
            "set single elements: probably a Python loop"
        )
    return ProposedRemedy(
        remedy=RemedyName.ROLL_LOOPS,
        because=because,
        how="Write the loop over time as pytensor.scan (its graph is as large for 1000 steps as for 10), or as one "
        "array operation where a step needs no other step: pt.cumsum for a walk. The pose model: --hmm-algorithm scan",
        savings=situation.estimate_savings(RemedyName.ROLL_LOOPS),
    )


def _scan_not_tree(situation: Situation) -> ProposedRemedy | None:
    """Propose a scan, where steps are combined in a tree; in a user's graph a scan is best left alone."""
    hmm = situation.model.pose.hmm if situation.model.pose else None
    if hmm is not None:
        if hmm.algorithm is not HmmAlgorithm.TREE:
            return None
        return ProposedRemedy(
            remedy=RemedyName.SCAN_NOT_TREE,
            because="--hmm-algorithm tree",
            how="Use pytensor.scan. The pose model: --hmm-algorithm scan",
            savings=situation.estimate_savings(RemedyName.SCAN_NOT_TREE),
        )
    counted = (dict(record.counts.nodes_by_type) for record in situation.samples_of_model() if record.counts)
    scans = next((number for nodes in counted if (number := nodes.get("Scan", 0))), 0)
    tree = situation.evidence_of(RemedyName.SCAN_NOT_TREE, FIRST_GRADIENT)
    unrolled = situation.evidence_of(RemedyName.ROLL_LOOPS, FIRST_GRADIENT)
    if not scans or tree is None or unrolled is None:
        return None
    return ProposedRemedy(
        remedy=RemedyName.SCAN_NOT_TREE,
        because=f"Scan nodes in the graph: {scans}",
        how="Leave the scan as it is: neither unroll it nor write it as a tree",
        instead=f"nothing to save: in the measured case ({tree.case}) a scan's first gradient takes "
        f"{ratio_text(tree.ratio)} of a tree's CPU time and {ratio_text(unrolled.ratio)} of an unrolled loop's",
    )


# --- how it is compiled -------------------------------------------------------------------------------------------


def _keep_caches(situation: Situation) -> ProposedRemedy | None:
    """Propose a folder that stays, where each run compiles from nothing; the price is cold less warm."""
    cold = situation.own_offer()
    reasons = list(situation.surroundings.reasons)
    if cold is not None and cold.choice.backend.startswith("jax") and not situation.surroundings.has_jax_cache:
        reasons.append("JAX_COMPILATION_CACHE_DIR is not set, so JAX keeps nothing")
    if not reasons:
        return None
    savings = situation.estimate_savings(RemedyName.KEEP_CACHES, (FIRST_GRADIENT,))
    warm_advice = situation.advice.of_scenario(Scenario.WARM)
    if cold is not None and cold.scenario is Scenario.COLD and warm_advice is not None:
        for warm in warm_advice.offers:
            if warm.choice == cold.choice:
                savings = (
                    Saving(
                        basis=Basis.MEASURED,
                        ratio=ratio_of_times(warm.firsts, cold.firsts),
                        whole_seconds=cold.option.first_gradient.value,
                        of_what=f"{situation.advice.workload.counted.first} with {cold.choice.name}, at every start",
                    ),
                )
    return ProposedRemedy(
        remedy=RemedyName.KEEP_CACHES,
        because="; ".join(reasons),
        how="Put the caches on a volume, or into the CI's cache (key: versions of PyTensor, Numba, JAX, and the "
        "model): PYTENSOR_FLAGS=base_compiledir=/kept/pytensor (C and Numba), JAX_COMPILATION_CACHE_DIR=/kept/jax with "
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 (else JAX keeps only what took it a second)",
        savings=savings,
    )


def _one_gradient(situation: Situation) -> ProposedRemedy | None:
    """Propose one backward pass, where ``Model.compile_dlogp`` (``dlogp``) takes one for each variable."""
    groups = max(
        (
            record.counts.groups
            for record in situation.samples_of_model()
            if record.counts and record.case.target is Target.DLOGP and record.case.backend in _PASS_FOR_EACH
        ),
        default=0,
    )
    savings = situation.estimate_savings(RemedyName.ONE_GRADIENT)
    if groups < _LEAST_GROUPS or (savings and savings[0].ratio.high >= 1):
        return None
    return ProposedRemedy(
        remedy=RemedyName.ONE_GRADIENT,
        because=f"Model.compile_dlogp differentiates once for each of {groups} variables (--target dlogp)",
        how="Take model.logp_dlogp_function(ravel_inputs=True), as pm.sample does (--target logp_dlogp), or "
        "pytensor.grad(model.logp(), model.continuous_value_vars) once",
        savings=savings,
    )


def _fewer_rewrites(situation: Situation, *, name: RemedyName, mark: str, mode: str) -> ProposedRemedy | None:
    """Propose to leave rewrites out: a shorter compile, and sometimes slower calls.

    That is where a measured case says that the planned work takes less time with it. Where ``PYTENSOR_FLAGS`` have it
    already (`mark`), it is named if it costs more than it saves: PyMC's default mode obeys those flags, the explicit
    modes that firstgrad measures do not, so its samples are without it.
    """
    first = situation.evidence_of(name, FIRST_GRADIENT)
    call = situation.evidence_of(name, EVALUATION)
    own = situation.own_offer()
    is_gradient = situation.advice.workload.counted is Counted.EVALUATIONS  # a sampler takes the linker of a mode alone
    if not is_gradient or first is None or call is None or own is None or f", {own.choice.backend}, " not in first.case:
        return None
    call_seconds = situation.advice.workload.in_a_row * own.option.evaluation.value
    saved = (1 - first.ratio.value) * own.option.first_gradient.value + (1 - call.ratio.value) * call_seconds
    if mark in situation.surroundings.flags:
        if saved >= 0:
            return None
        return ProposedRemedy(
            remedy=name,
            because=f"{mark} is in PYTENSOR_FLAGS, and for so many evaluations it costs more than it saves",
            how=f"Take {mark} out of PYTENSOR_FLAGS",
            instead=f"in the measured case ({first.case}) it takes {ratio_text(first.ratio)} of the first gradient's "
            f"CPU time and {ratio_text(call.ratio)} of an evaluation's",
        )
    if saved <= 0 or first.ratio.high >= 1:
        return None
    return ProposedRemedy(
        remedy=name,
        because="the first gradient is a large part of the planned work",
        how=f"{mode}, then check that the gradient is still right: stabilising rewrites may be needed",
        savings=situation.estimate_savings(name),
    )


REMEDIES: dict[RemedyName, Remedy] = {
    RemedyName.MASK_FIRST: _mask_first,
    RemedyName.VECTORISE: _vectorise,
    RemedyName.ROLL_LOOPS: _roll_loops,
    RemedyName.SCAN_NOT_TREE: _scan_not_tree,
    RemedyName.KEEP_CACHES: _keep_caches,
    RemedyName.ONE_GRADIENT: _one_gradient,
    RemedyName.EXCLUDE_REWRITES: functools.partial(
        _fewer_rewrites,
        name=RemedyName.EXCLUDE_REWRITES,
        mark="optimizer_excluding",
        mode='mode=pytensor.compile.mode.get_mode("JAX").excluding("specialize", "uncanonicalize")',
    ),
    RemedyName.FAST_COMPILE: functools.partial(
        _fewer_rewrites,
        name=RemedyName.FAST_COMPILE,
        mark="FAST_COMPILE",
        mode='mode=pytensor.compile.mode.Mode("jax", "fast_compile")',
    ),
}
"""The catalogue; what makes gradients right comes first."""
