"""Digests of graphs: whether two compiles were asked for the same thing. Some 20 ms for a graph of 5000 nodes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

_HASHED_BYTES = 2**25  # of larger constants, so much is hashed, evenly spread


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphDigest:
    """What two equal graphs have in common. Names of variables don't count."""

    graph: str  # with the values of constants
    structure: str  # without
    constant_bytes: int
    largest_constant_bytes: int


def digest_graph(inputs: list[Any], outputs: list[Any]) -> GraphDigest:
    """Compute the digests of a PyTensor graph."""
    walk = _Walk()
    structure, values = walk.digest(inputs, outputs)
    return GraphDigest(
        graph=values,
        structure=structure,
        constant_bytes=sum(walk.sizes.values()),
        largest_constant_bytes=max(walk.sizes.values(), default=0),
    )


def digest_model(model: Any) -> str:
    """Compute a digest of the names and types of a PyMC model's variables."""
    observed = set(model.observed_RVs)
    named = [(str(one.name), str(one.type), one in observed) for one in model.basic_RVs]
    return _short(repr(named))


def _short(text: str) -> str:
    return blake2b(text.encode(errors="replace"), digest_size=6).hexdigest()


class _Walk:
    """One walk, which looks at each operation, type and constant once."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}  # bytes of each constant
        self._ops: dict[int, str] = {}
        self._types: dict[int, str] = {}
        self._values: dict[int, str] = {}

    def digest(self, inputs: list[Any], outputs: list[Any]) -> tuple[str, str]:
        """Return the digests without and with the values of constants."""
        structure, values = blake2b(digest_size=6), blake2b(digest_size=6)
        number: dict[int, int] = {}

        def note(variable: Any, text: str) -> None:
            number[id(variable)] = len(number)
            structure.update(text.encode(errors="replace"))

        for place, variable in enumerate(inputs):
            if id(variable) not in number:
                note(variable, f"input {place} {self._type(variable)};")
        waiting = list(reversed(outputs))
        while waiting:
            variable = waiting[-1]
            node = getattr(variable, "owner", None)
            if id(variable) in number:
                waiting.pop()
            elif node is None:
                waiting.pop()
                is_constant = hasattr(variable, "data")
                note(variable, f"{'constant' if is_constant else 'variable'} {self._type(variable)};")
                if is_constant:
                    values.update(self._value(variable).encode())
            elif missing := [one for one in node.inputs if id(one) not in number]:
                waiting += reversed(missing)
            else:
                places = ",".join(str(number[id(one)]) for one in node.inputs)
                note(node.outputs[0], f"{self._op(node.op)} {places};")
                for output in node.outputs[1:]:
                    number[id(output)] = len(number)
        structure.update(",".join(str(number[id(one)]) for one in outputs).encode())
        text = structure.hexdigest()
        values.update(text.encode())
        return text, values.hexdigest()

    def _type(self, variable: Any) -> str:
        kind = variable.type
        text = self._types.get(id(kind))
        if text is None:
            text = self._types[id(kind)] = str(kind)
        return text

    def _op(self, op: Any) -> str:
        text = self._ops.get(id(op))
        if text is None:
            self._ops[id(op)] = type(op).__qualname__  # an operation within itself
            props = [self._prop(getattr(op, name, None)) for name in getattr(op, "__props__", None) or ()]
            inner = getattr(op, "fgraph", None)
            within = "|".join(self.digest(inner.inputs, inner.outputs)) if inner is not None else ""
            text = self._ops[id(op)] = f"{type(op).__module__}.{type(op).__qualname__}({','.join(props)}){within}"
        return text

    def _prop(self, prop: Any) -> str:
        if hasattr(prop, "__props__") or hasattr(prop, "fgraph"):
            return self._op(prop)
        text = repr(prop)
        return type(prop).__qualname__ if " at 0x" in text else text

    def _value(self, constant: Any) -> str:
        text = self._values.get(id(constant))
        if text is None:
            text = self._values[id(constant)] = self._hash(constant)
        return text

    def _hash(self, constant: Any) -> str:
        import numpy as np  # by a user's script: what it sets before its own import of NumPy must count

        data = constant.data
        if not isinstance(data, np.ndarray | np.generic) or data.dtype.hasobject:
            return type(data).__qualname__
        array = np.asarray(data)
        self.sizes[id(constant)] = array.nbytes
        flat = array.reshape(-1)
        if array.nbytes > _HASHED_BYTES:
            flat = flat[:: -(-array.nbytes // _HASHED_BYTES)]
        return blake2b(np.ascontiguousarray(flat).tobytes(), digest_size=6).hexdigest()
