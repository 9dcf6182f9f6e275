"""Where chains start: PyMC's own start point and its jitter, without a compiler."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import UnavailableError
from firstgrad.fast.ways import undisturbed
from firstgrad.linting.values import NodeEvaluator, is_random_state, operation_name
from firstgrad.observe import probes
from firstgrad.observe.lines import walk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    type Start = dict[str, NDArray[Any]]
    """By the names of values."""


class StartPoints:
    """A model's start points, evaluated in Python: PyMC's expression, with PyMC's jitter.

    For most models they are those that PyMC gives for the same seed; where PyTensor's rewrites turn the order of its
    generators around, they are others of the same distribution. PyMC compiles a function for them, which takes far
    longer than one evaluation. That function is taken all the same where a start is drawn (from the prior) or this
    release of PyMC lacks what the short way needs.

    Parameters
    ----------
    model : pymc.Model
        Any.
    initvals : mapping, optional
        Take precedence over the model's own, as in ``pm.sample``.
    """

    def __init__(self, model: Any, initvals: Mapping[Any, Any] | None = None) -> None:
        self._model, self._initvals = model, dict(initvals or {})
        self._names = [model.rvs_to_values[variable].name for variable in model.free_RVs]
        self._lock = threading.Lock()  # several chains ask at once, and cells are shared
        self._evaluator: NodeEvaluator | None = None
        self._jitters: list[Any] = []
        self._shapes: list[tuple[int, ...]] | None = None
        self._functions: dict[bool, Any] = {}
        with suppress(UnavailableError), undisturbed():  # PyMC's function then
            self._write()

    def plain(self) -> Start:
        """Give the start without jitter, as ``model.initial_point()`` has it."""
        if self._evaluator is None:
            return self._by_pymc(0, is_jittered=False)
        return self._at(self._evaluator, [np.zeros(shape) for shape in self._jitter_shapes()])

    def jittered(self, seed: int) -> Start:
        """Give a chain's start: jitter from U(-1, 1) on the transformed space, as PyMC draws it from this seed."""
        if self._evaluator is None:
            return self._by_pymc(seed, is_jittered=True)
        shapes = self._jitter_shapes()
        seeds = np.random.SeedSequence(seed).spawn(len(shapes))
        generators = [np.random.Generator(np.random.PCG64(one)) for one in seeds]
        jitter = [rng.uniform(-1.0, 1.0, size=shape) for rng, shape in zip(generators, shapes, strict=True)]
        return self._at(self._evaluator, jitter)

    def _write(self) -> None:
        """Write PyMC's expression, with each jitter as an input."""
        from pytensor.graph.replace import clone_replace

        model = self._model
        free = [variable for variable in model.free_RVs if variable.type.dtype.startswith("float")]
        outputs = probes.START_EXPRESSION.find()(
            free_rvs=model.free_RVs,
            rvs_to_transforms=model.rvs_to_transforms,
            initval_strategies=model.rvs_to_initial_values | probes.START_VALUES.find()(model, self._initvals),
            jitter_rvs=set(free),
            return_transformed=True,
        )
        names = {f"{variable.name}_jitter" for variable in free}
        jitters = {variable for node in walk(outputs) for variable in node.outputs if variable.name in names}
        if len(jitters) != len(names):
            return
        inputs = {jitter: jitter.type(name=f"jitter {number}") for number, jitter in enumerate(jitters)}
        written = _without_draws(clone_replace(outputs, replace=inputs))
        if written is None:
            return
        # PyMC gives its generators their seeds in the order in which they are met, sizes being constants by then.
        met = {one: place for place, one in enumerate(probes.GRAPH_INPUTS.find()(written))}
        self._jitters = sorted(jitters, key=lambda jitter: met[inputs[jitter]])
        self._evaluator = NodeEvaluator([inputs[one] for one in self._jitters], written, is_stabilised=False)

    def _jitter_shapes(self) -> Sequence[tuple[int, ...]]:
        if self._shapes is None:
            if all(None not in jitter.type.shape for jitter in self._jitters):
                self._shapes = [jitter.type.shape for jitter in self._jitters]
            else:
                values = NodeEvaluator((), self._jitters, is_stabilised=False).at({})
                self._shapes = [np.shape(values[jitter]) for jitter in self._jitters]
        return self._shapes

    def _at(self, evaluator: NodeEvaluator, jitter: Sequence[NDArray[np.float64]]) -> Start:
        point = {variable.name: value for variable, value in zip(evaluator.inputs, jitter, strict=True)}
        with self._lock:
            values = evaluator.at(point)
            starts = [np.array(values[output]) for output in evaluator.outputs]
        return dict(zip(self._names, starts, strict=True))

    def _by_pymc(self, seed: int, *, is_jittered: bool) -> Start:
        with self._lock:
            if is_jittered not in self._functions:
                self._functions[is_jittered] = probes.MAKE_START_POINT.find()(
                    model=self._model,
                    overrides=self._initvals,
                    jitter_rvs=set(self._model.free_RVs) if is_jittered else set(),
                    return_transformed=True,
                )
            start = self._functions[is_jittered](seed)
        return {name: np.asarray(start[name]) for name in self._names}


def _without_draws(outputs: Sequence[Any]) -> list[Any] | None:
    """Write zeros for what is drawn where its shape alone is asked for; None where more is."""
    import pytensor.tensor as pt
    from pytensor.graph.replace import clone_replace

    nodes = list(walk(outputs))
    drawn = {output for node in nodes if any(map(is_random_state, node.inputs)) for output in node.outputs}
    zeros = {}
    for node in nodes:
        for place, one in enumerate(node.inputs):
            if one in drawn and not is_random_state(one) and not drawn.intersection(node.outputs):
                if not _asks_for_shape(node, place) or None in one.type.shape:
                    return None
                zeros[one] = pt.zeros(one.type.shape, dtype=one.type.dtype)
    if drawn.intersection(outputs):
        return None
    return clone_replace(list(outputs), replace=zeros) if zeros else list(outputs)


def _asks_for_shape(node: Any, place: int) -> bool:
    name = type(node.op).__name__
    return name in ("Shape", "Shape_i") or (place == 0 and operation_name(node) == "Second")
