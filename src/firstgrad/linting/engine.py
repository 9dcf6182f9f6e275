"""The graph of a model's log-density as rules see it, and the walk through the rules. In the process with the model."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from firstgrad.grouping import grouped
from firstgrad.linting.finding import LintReport, SkippedRule, worst_first
from firstgrad.observe.lines import NodeLines, reach, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from firstgrad.linting.finding import Finding, FindingName
    from firstgrad.observe.events import CodeLine

    type Rule = Callable[[LogpGraph], Iterable[Finding]]

FEWEST_SAME = 8
"""Fewer of a kind are nobody's trouble."""
_FEWEST_OF_LIBRARIES = 20  # of what a library made on behalf of one line of the user's
_COMPARED_BYTES = 2**20  # larger constants are told apart by where they are, not by what they hold


class NotLookedError(Exception):
    """A rule could not look; the message says why."""


class TermKind(StrEnum):
    """Whose term of the log-density it is."""

    FREE = "free"
    OBSERVED = "observed"
    POTENTIAL = "potential"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Term:
    """A term of the log-density."""

    name: str
    kind: TermKind
    variable: Any  # of the model: the random variable, or the potential
    value: Any  # what stands for the random variable in the graph; none for a potential
    logp: Any  # before it is summed
    lines: tuple[CodeLine, ...]  # where the variable was made


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repeat:
    """Nodes that are alike: one operation on inputs of the same types, made in the same way, from the same place."""

    lines: tuple[CodeLine, ...]
    tops: tuple[Any, ...]  # a node of each time
    nodes: tuple[Any, ...]  # of all of them, with what stands below each alone


class LogpGraph:
    """The graph of a model's log-density.

    Parameters
    ----------
    model
        The `pm.Model`.

    Attributes
    ----------
    terms : tuple of Term
        Free variables, observed ones, potentials.
    nodes : tuple
        Each after those of its inputs. What PyTensor is going to merge is there as often as it was made.
    lines : NodeLines
        Which of the user's lines a node is of.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.lines = NodeLines(model)
        with self.lines.following():
            logps = model.logp(sum=False)
            self.lines.mark_density(logps)
        variables = [
            *((TermKind.FREE, variable) for variable in model.free_RVs),
            *((TermKind.OBSERVED, variable) for variable in model.observed_RVs),
            *((TermKind.POTENTIAL, variable) for variable in model.potentials),
        ]
        self.terms: tuple[Term, ...] = tuple(
            Term(
                name=str(variable.name),
                kind=kind,
                variable=variable,
                value=model.rvs_to_values.get(variable),
                logp=logp,
                lines=self.lines.of(variable),
            )
            for (kind, variable), logp in zip(variables, logps, strict=True)
        )
        self.nodes: tuple[Any, ...] = tuple(walk(logps))

    # --- who needs whom -------------------------------------------------------------------------------------------

    @cached_property
    def clients(self) -> dict[Any, list[Any]]:
        """The nodes that take each variable."""
        return grouped((variable, node) for node in self.nodes for variable in dict.fromkeys(node.inputs))

    @cached_property
    def sources(self) -> dict[Any, str]:
        """Names of what goes into the graph: values by their random variable's, and data."""
        values = {term.value: term.name for term in self.terms if term.kind is TermKind.FREE}
        shared = {
            variable: str(variable.name or "")
            for node in self.nodes
            for variable in node.inputs
            if variable.owner is None and not hasattr(variable, "data") and variable not in values
        }
        return {**shared, **values}

    @cached_property
    def _reached(self) -> tuple[dict[Any, int], tuple[str, ...]]:
        """Of each variable the sources that it depends on, as bits of a number."""
        begun = {source: 1 << place for place, source in enumerate(self.sources)}
        return reach(self.nodes, begun), tuple(self.sources.values())

    def depends_on(self, variable: Any) -> tuple[str, ...]:
        """Return the names of the variables and data that a variable of the graph is computed from, in their order."""
        reached, names = self._reached
        bits = reached.get(variable, 0)
        return tuple(name for place, name in enumerate(names) if bits >> place & 1)

    @cached_property
    def free_bits(self) -> int:
        """The bits of all free variables."""
        reached, _ = self._reached
        free = {term.value for term in self.terms if term.kind is TermKind.FREE}
        return sum(reached[source] for source in self.sources if source in free)

    def is_free(self, variable: Any) -> bool:
        """Whether it depends on a free variable."""
        return bool(self._reached[0].get(variable, 0) & self.free_bits)

    # --- which are alike ------------------------------------------------------------------------------------------

    @cached_property
    def _same(self) -> dict[Any, int]:
        """A number for each variable: equal where PyTensor merges them, since they compute the same of the same."""
        return self._number(by_value=True)

    @cached_property
    def alike(self) -> dict[Any, int]:
        """A number for each variable: equal where operations, numbers of dimensions and kinds of numbers are."""
        return self._number(by_value=False)

    def _number(self, *, by_value: bool) -> dict[Any, int]:
        numbers: dict[Any, int] = {}
        known: dict[Any, int] = {}

        def number(key: Any) -> int:
            return known.setdefault(key, len(known))

        for node in self.nodes:
            for variable in node.inputs:
                if variable not in numbers:
                    numbers[variable] = number(_value_key(variable) if by_value else _kind_key(variable))
            places = tuple(numbers[variable] for variable in node.inputs)
            for place, output in enumerate(node.outputs):
                numbers[output] = number((_op_key(node.op), place, places))
        return numbers

    @cached_property
    def distinct(self) -> tuple[Any, ...]:
        """The nodes without those that PyTensor merges with an earlier one."""
        seen: set[int] = set()
        nodes = []
        for node in self.nodes:
            if (number := self._same[node.outputs[0]]) not in seen:
                seen.add(number)
                nodes.append(node)
        return tuple(nodes)

    @cached_property
    def repeats(self) -> tuple[Repeat, ...]:
        """Whatever is there again and again from one place of the user's: the largest first, none within another."""
        groups = grouped(
            ((self.alike[node.outputs[0]], lines), node) for node in self.distinct if (lines := self.lines.of(node))
        )
        many = {
            key: nodes
            for key, nodes in groups.items()
            if len(nodes) >= _FEWEST_OF_LIBRARIES or (len(nodes) >= FEWEST_SAME and self.lines.is_own(nodes[0]))
        }
        kind_of = {node: key for key, nodes in many.items() for node in nodes}
        tops = []
        for key, nodes in many.items():
            within = sum(
                any(len(many[above]) * 2 > len(nodes) for above in self._kinds_above(node, kind_of) if above != key)
                for node in nodes
            )
            if within * 2 <= len(nodes):
                tops.append((key, nodes))
        repeats = []
        for _, nodes in tops:
            whole = self._below(nodes, kind_of, many)
            # Most of them, since what PyMC wrote anew may have lost its own
            ((lines, _),) = Counter(self.lines.of(node) for node in whole).most_common(1)
            repeats.append(Repeat(lines=lines, tops=tuple(nodes), nodes=tuple(whole)))
        return tuple(sorted(repeats, key=lambda one: -len(one.nodes)))

    def _kinds_above(self, node: Any, kind_of: dict[Any, Any]) -> Iterator[Any]:
        for output in node.outputs:
            for client in self.clients.get(output, ()):
                if client in kind_of:
                    yield kind_of[client]

    def _below(self, tops: Sequence[Any], kind_of: dict[Any, Any], many: dict[Any, list[Any]]) -> list[Any]:
        """Return the nodes below some that are repeated about as often, these included."""
        least, seen, waiting = len(tops) / 2, set(tops), list(tops)
        while waiting:
            for variable in waiting.pop().inputs:
                node = variable.owner
                if node is not None and node not in seen and len(many.get(kind_of.get(node), ())) > least:
                    seen.add(node)
                    waiting.append(node)
        return list(seen)

    def needed_by(self, terms: Iterable[Term]) -> list[Any]:
        """Return the nodes that only these terms need."""
        wanted = list(terms)
        others = set(self.terms) - set(wanted)
        needed = set(walk([term.logp for term in others]))
        return list(walk([term.logp for term in wanted], needed))

    def count_work(self, nodes: Iterable[Any]) -> int:
        """Count the nodes that a gradient goes through: numbers with a point, which depend on free variables."""
        return sum(
            str(getattr(node.outputs[0].type, "dtype", "")).startswith("float") and self.is_free(node.outputs[0])
            for node in nodes
        )


def _op_key(op: Any) -> Any:
    try:
        hash(op)
    except TypeError:
        return id(op)
    return op


def _kind_key(variable: Any) -> Any:
    """Tell variables apart by their kind alone."""
    kind = variable.type
    is_constant = hasattr(variable, "data")  # of which 0 and 1 are of another type than 0.5
    return type(kind).__name__, "constant" if is_constant else getattr(kind, "dtype", ""), getattr(kind, "ndim", 0)


def _value_key(variable: Any) -> Any:
    """Tell constants apart by their values, other variables by what they are."""
    data = getattr(variable, "data", None)
    if data is None:
        return id(variable)
    nbytes = getattr(data, "nbytes", None)
    if nbytes is None or nbytes > _COMPARED_BYTES or not hasattr(data, "tobytes") or data.dtype.hasobject:
        return id(data)
    return str(variable.type), blake2b(data.tobytes(), digest_size=8).digest()


def lint_model(
    model: Any,
    *,
    name: str = "",
    rules: Sequence[Rule] | None = None,
    select: Iterable[FindingName] = (),
    ignore: Iterable[FindingName] = (),
    clock: Callable[[], float] = time.monotonic,
) -> LintReport:
    """Look for what its author would want to know in the graph of a model's log-density; nothing is compiled.

    Parameters
    ----------
    model : pymc.Model
        Built already; best within `firstgrad.observe.lines.deep_traces`.
    name : str
        What the report calls it.
    rules : sequence of Rule, optional
        All of them where left out.
    select, ignore : iterable of FindingName
        Only these findings; not these.
    clock : callable
        Seconds.
    """
    from firstgrad.linting.rules import RULES

    began = clock()
    graph = LogpGraph(model)
    findings: list[Finding] = []
    skipped = []
    for rule in RULES if rules is None else rules:
        try:
            findings += rule(graph)
        except NotLookedError as error:
            skipped.append(SkippedRule(rule=_rule_name(rule), reason=str(error)))
        except Exception as error:  # noqa: BLE001 - one rule that stumbles over a strange graph must not silence the others
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            skipped.append(SkippedRule(rule=_rule_name(rule), reason=reason))
    chosen, refused = set(select), set(ignore)
    wanted = [one for one in findings if (not chosen or one.name in chosen) and one.name not in refused]
    return LintReport(
        model=name or str(getattr(model, "name", "") or "model"),
        findings=worst_first(wanted),
        terms=len(graph.terms),
        nodes=len(graph.nodes),
        seconds=round(clock() - began, 3),
        skipped=tuple(skipped),
    )


def _rule_name(rule: Rule) -> str:
    return getattr(rule, "__name__", type(rule).__name__).replace("_", " ")


def number_names(names: Iterable[str]) -> tuple[str, ...]:
    """Write names that differ in numbers only as one, with ``#`` for each number, in the order of their first."""
    import re

    counts = Counter(re.sub(r"\d+", "#", name) for name in names)
    return tuple(counts)
