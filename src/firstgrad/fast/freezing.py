"""A log-density as a graph of its values alone, its loops batched: what `fast_gradient` begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstgrad.errors import ModelError
from firstgrad.fast.batching import batch
from firstgrad.linting.values import NodeEvaluator, is_random_state, operation_name, own_gradients
from firstgrad.observe import probes
from firstgrad.observe.lines import walk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FROZEN_DATA = "data and lengths of dimensions are frozen at what they are now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """Graphs in which nothing can change but their inputs."""

    outputs: list[Any]
    inputs: list[Any]  # as they were given, or with a static shape in their place
    notes: tuple[str, ...]  # what was frozen
    is_drawn: bool  # whether draws are, which come out differently in another process


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedGraph:
    """Graphs of a model's values, frozen and batched; nobody may change them."""

    outputs: list[Any]
    values: list[Any]  # that come in a flat vector
    held: list[Any]
    stacks: dict[tuple[Any, ...], Any]  # inputs of the graph that stand for several values side by side
    notes: tuple[str, ...]
    is_drawn: bool  # as `Frozen` has it
    own_gradient: str  # an operation that changes its own gradient, of which JAX would not know; '' for none

    @property
    def sources(self) -> list[Any]:
        """List all inputs but the held ones."""
        return [*self.values, *self.stacks.values()]

    @property
    def places(self) -> list[list[int]]:
        """Tell of which values the sources are, by number."""
        number = {value: place for place, value in enumerate(self.values)}
        return [[place] for place in number.values()] + [[number[one] for one in several] for several in self.stacks]


def close_graph(outputs: Sequence[Any], shapes: Mapping[Any, tuple[int, ...]], held: Sequence[Any] = ()) -> ClosedGraph:
    """Freeze and batch graphs of some values, whose shapes are given, of which those last ones are held."""
    values = [value for value in shapes if value not in set(held)]
    frozen = freeze(outputs, shapes)
    replaced = dict(zip(shapes, frozen.inputs, strict=True))
    values, held = [replaced[one] for one in values], [replaced[one] for one in held]
    stacks: dict[tuple[Any, ...], Any] = {}

    def stack(several: tuple[Any, ...]) -> Any:
        import pytensor.tensor as pt

        if not set(several) <= set(values):
            return None
        kind = several[0].type
        return stacks.setdefault(several, pt.tensor(dtype=kind.dtype, shape=(len(several), *kind.shape)))

    own = next(own_gradients(frozen.outputs), "")
    batched = batch(frozen.outputs, stack=stack)
    return ClosedGraph(
        outputs=batched,
        values=values,
        held=held,
        stacks=stacks,
        notes=frozen.notes,
        is_drawn=frozen.is_drawn,
        own_gradient=own,
    )


def freeze(outputs: Sequence[Any], shapes: Mapping[Any, tuple[int, ...]]) -> Frozen:
    """Freeze shared variables at what they hold now, random draws at the next ones, and the shapes of inputs.

    It is what ``freeze_dims_and_data`` and PyMC's samplers in JAX do to a model, for graphs: names, order and types
    of inputs stay.

    Parameters
    ----------
    outputs
        Graphs.
    shapes
        Of their inputs.

    Raises
    ------
    ModelError
        Where draws depend on inputs.
    """
    from pytensor.compile.sharedvalue import SharedVariable
    from pytensor.graph.replace import clone_replace

    replace, names = _held_draws(outputs, set(shapes))
    notes = (
        [
            f"what the log-density draws ({', '.join(names)}) is held: every call takes the same rows or numbers. To "
            "train on new ones at each step, take pm.fit or model.compile_dlogp(), which draw anew in each call"
        ]
        if names
        else []
    )
    shared = [one for one in _ancestors(outputs) if isinstance(one, SharedVariable)]
    replace |= {one: _constant(one, one.get_value()) for one in shared}
    frozen_data = [one.name for one in shared if one.name and not is_random_state(one)]
    if frozen_data:
        notes.append(f"{FROZEN_DATA}: {', '.join(frozen_data)}")
    known = {one: _with_shape(one, shape) for one, shape in shapes.items()}
    replace |= {one: new for one, new in known.items() if new is not one}
    made = clone_replace(list(outputs), replace=replace) if replace else list(outputs)
    return Frozen(outputs=made, inputs=list(known.values()), notes=tuple(notes), is_drawn=bool(names))


def _held_draws(outputs: Sequence[Any], inputs: set[Any]) -> tuple[dict[Any, Any], list[str]]:
    """Draw once what graphs draw anew in each call; with the names of these operations."""
    drawn = [node for node in walk(outputs) if any(map(is_random_state, node.inputs))]
    if not drawn:
        return {}, []
    names = list(dict.fromkeys(operation_name(node).removesuffix("Op") for node in drawn))
    wanted = [output for node in drawn for output in node.outputs if not is_random_state(output)]
    if inputs.intersection(_ancestors(wanted)):
        raise ModelError(
            f"the log-density draws from distributions of its own values ({', '.join(names)}): it is another number in "
            "each call, and has no gradient"
        )
    values = NodeEvaluator([], wanted, is_stabilised=False).at({})
    return {output: _constant(output, values[output]) for output in wanted}, names


def _constant(variable: Any, value: Any) -> Any:
    import pytensor.tensor as pt

    if hasattr(variable.type, "broadcastable") and type(variable.type).__name__ == "TensorType":
        return pt.constant(value, dtype=variable.type.dtype)  # which knows its shape
    return variable.type.make_constant(value)


def _with_shape(variable: Any, shape: tuple[int, ...]) -> Any:
    """Give an input, or one that has a static shape in its place."""
    kind = variable.type
    if type(kind).__name__ != "TensorType" or None not in kind.shape:
        return variable
    return kind.clone(shape=shape)(variable.name)


def _ancestors(outputs: Sequence[Any]) -> list[Any]:
    return list(probes.ANCESTORS.find()(outputs))
