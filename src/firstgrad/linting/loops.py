"""Rules about what a Python loop wrote into a graph: variables, terms, expressions, a recursion."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from firstgrad.grouping import grouped
from firstgrad.linting.engine import FEWEST_SAME, TermKind, number_names
from firstgrad.linting.finding import Extent, Finding, FindingName, Harm, Pattern, estimate
from firstgrad.linting.instead import unrolled
from firstgrad.observe.lines import reach, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firstgrad.linting.engine import LogpGraph, Repeat, Term
    from firstgrad.observe.events import CodeLine

_FEWEST_NODES = 60
"""Less than so many nodes that a loop wrote save nobody a second."""
_FEWEST_TURNS = 20  # of a recursion: a shorter one is as short to read, and to compile, as its scan
_ASSOCIATIVE = frozenset({"Add", "Mul", "Maximum", "Minimum", "LogAddExp"})
_SETTING = frozenset({"IncSubtensor", "AdvancedIncSubtensor", "AdvancedIncSubtensor1"})
_FILLING = _SETTING | {"Switch"}
_JOINING = frozenset({"Join", "MakeVector"})
_THROUGH = frozenset({"DimShuffle", "Cast", "TensorFromScalar", "ScalarFromTensor", "Alloc", "Second", "Reshape"})
_LINEAR = (
    _THROUGH
    | _JOINING
    | _SETTING
    | {"Add", "Sub", "Neg", "Sum", "Subtensor", "AdvancedSubtensor", "AdvancedSubtensor1"}
)


@dataclass(slots=True, kw_only=True)
class _Loop:
    """What one place of the user's made again and again."""

    terms: list[Term] = field(default_factory=list)
    lines: list[CodeLine] = field(default_factory=list)
    others: list[_Loop] = field(default_factory=list)  # that only serve it

    @property
    def kind(self) -> TermKind:
        return self.terms[0].kind

    @property
    def all_terms(self) -> list[Term]:
        return [*self.terms, *(term for other in self.others for term in other.all_terms)]


def loops(graph: LogpGraph) -> Iterator[Finding]:
    """Find what a Python loop wrote."""
    whole = _loops_of_terms(graph)
    chains = _chains(graph)
    left = list(graph.repeats)
    for loop in whole:
        needed = [set(walk([term.logp])) for term in loop.terms]
        serving = [repeat for repeat in left if _serves(repeat, needed)]
        left = [repeat for repeat in left if repeat not in serving]
        yield from _of_terms(graph, loop, serving)
    placed = {line for loop in whole for term in loop.all_terms for line in term.lines[:1]}
    for chain in chains:
        own = [repeat for repeat in left if repeat.lines[0] in chain.at]
        left = [repeat for repeat in left if repeat not in own]
        if chain.nodes + sum(len(repeat.nodes) for repeat in own) >= _FEWEST_NODES:
            yield _of_chain(graph, chain, own)
    yield from _of_repeats(graph, [repeat for repeat in left if repeat.lines[0] not in placed])


# --- variables and terms ------------------------------------------------------------------------------------------


def _loops_of_terms(graph: LogpGraph) -> list[_Loop]:
    """Put terms together that are alike and were made at one place; free variables go with the terms they serve."""
    groups = grouped(
        ((term.kind, term.lines or number_names([term.name]), alike), term)
        for term in graph.terms
        if (alike := graph.alike.get(term.logp)) is not None
    )
    places = grouped(((kind, place), terms) for (kind, place, _), terms in groups.items())
    loops = []
    for several in places.values():
        largest = max(several, key=len)
        together = [term for terms in several for term in terms]
        if len(largest) >= FEWEST_SAME:  # where nearly all are alike the others are, too, but for a constant
            terms = together if len(largest) * 4 > len(together) * 3 else largest
            loops.append(_Loop(terms=terms, lines=list(terms[0].lines[:1])))
    free = [loop for loop in loops if loop.kind is TermKind.FREE]
    seen = [loop for loop in loops if loop.kind is not TermKind.FREE]
    for loop in free:
        names = {term.name for term in loop.terms}
        for user in seen:
            needs = [names.intersection(graph.depends_on(term.logp)) for term in user.terms]
            if all(needs) and not any(len(one) * 2 > len(names) for one in needs):
                user.others.append(loop)
                break
    serving = {id(loop) for user in seen for loop in user.others}
    return [*seen, *(loop for loop in free if id(loop) not in serving)]


def _serves(repeat: Repeat, needed: list[set[Any]]) -> bool:
    """Whether each turn of a loop, by the nodes that it needs, needs its own part of what is repeated."""
    own = [len(nodes.intersection(repeat.tops)) for nodes in needed]
    return sum(one > 0 for one in own) * 2 > len(needed) and max(own) * 2 <= len(repeat.tops)


def _of_terms(graph: LogpGraph, loop: _Loop, serving: list[Repeat]) -> Iterator[Finding]:
    terms = loop.all_terms
    below = graph.needed_by(terms)
    nodes, work = len(below), graph.count_work(below)
    if nodes < _FEWEST_NODES:
        return
    count, names = len(loop.terms), number_names(term.name for term in terms)
    stem = number_names(term.name for term in loop.terms)[0]
    lines = tuple(dict.fromkeys([*loop.lines, *(line for one in loop.others for line in one.lines)]))
    lines += tuple(repeat.lines[0] for repeat in serving if repeat.lines[0] not in lines)
    each = nodes / count
    if loop.kind is TermKind.FREE:
        name = FindingName.VARIABLE_PER_ELEMENT
        fact = (
            f"one line makes {count} variables ({stem}): {nodes:,} nodes of the graph, which one array would not need"
        )
    else:
        what = "observed variables" if loop.kind is TermKind.OBSERVED else "potentials"
        name = FindingName.GROWS_WITH_DATA
        fact = (
            f"one line makes {count} {what} ({stem}), and each brings {each:.0f} nodes of its own: the graph grows "
            "with the data, where one array's is as large for a million"
        )
    yield Finding(
        name=name,
        harm=Harm.COMPILE,
        fact=fact,
        lines=lines,
        variables=names,
        count=count,
        nodes=nodes,
        work=work,
        instead=unrolled(loop.terms[0].lines, terms=terms),
        estimates=estimate(
            Pattern.TERMS if loop.terms[0].logp.type.ndim else Pattern.CELLS, Extent(nodes=work, turns=count)
        ),
    )


# --- expressions --------------------------------------------------------------------------------------------------


def _of_repeats(graph: LogpGraph, repeats: Iterable[Repeat]) -> Iterator[Finding]:
    for same in grouped((repeat.lines[0], repeat) for repeat in repeats).values():
        repeat = max(same, key=lambda one: len(one.tops) * len(one.nodes))
        pattern = _pattern(graph, repeat)
        nodes = {node: None for one in same for node in one.nodes}
        # Constants make turns that are not all alike: 1 * x is x
        tops = [
            top for one in same for top in one.tops if nodes.keys().isdisjoint(graph.clients.get(top.outputs[0], ()))
        ]
        fillers = dict.fromkeys(one for top in tops for one in _meeting(graph, top) if _kind(one) in _FILLING)
        tops, nodes = [*fillers] if pattern is Pattern.FILLED else tops, nodes | fillers
        if len(nodes) < _FEWEST_NODES:
            continue
        work, arrays = graph.count_work(nodes), _count_arrays(graph, nodes)
        names = number_names(name for node in tops for name in graph.depends_on(node.outputs[0]))
        yield Finding(
            name=FindingName.SAME_SUBGRAPH,
            harm=Harm.COMPILE,
            fact=f"one line stands {len(tops)} times in the graph, with {len(nodes):,} nodes: written as one array it "
            f"would stand there once",
            lines=repeat.lines,
            variables=names,
            count=len(tops),
            nodes=len(nodes),
            work=work,
            arrays=arrays,
            instead=unrolled(repeat.lines, dims=repeat.tops[0].outputs[0].type.ndim),
            estimates=estimate(pattern, Extent(nodes=work, turns=len(tops), arrays=arrays)),
        )


def _kind(node: Any) -> str:
    return type(getattr(node.op, "scalar_op", node.op)).__name__


def _meeting(graph: LogpGraph, top: Any) -> list[Any]:
    """List the operations that take a turn's result, or what is only another view of it."""
    taking, waiting = [], list(graph.clients.get(top.outputs[0], ()))
    while waiting:
        node = waiting.pop()
        if _kind(node) in _THROUGH:
            waiting += graph.clients.get(node.outputs[0], ())
        else:
            taking.append(node)
    return taking


def _pattern(graph: LogpGraph, repeat: Repeat) -> Pattern:
    """Say how the turns' results come together, since that decides what backends make of them."""
    top = repeat.tops[len(repeat.tops) // 2]
    kind = next((_kind(one) for one in _meeting(graph, top)), "")
    if kind in _SETTING:
        return Pattern.FILLED
    if kind not in _JOINING and not _is_read(graph, repeat.tops):
        return Pattern.ADDENDS
    if not top.outputs[0].type.ndim:
        return Pattern.NUMBERS
    return Pattern.STACKED if kind in _JOINING else Pattern.EXPRESSIONS


def _is_read(graph: LogpGraph, tops: Iterable[Any]) -> bool:
    """Whether the log-density isn't linear in some results, so that its gradient needs their sum."""
    above = {top.outputs[0] for top in tops}
    for node in graph.nodes:
        places = [place for place, one in enumerate(node.inputs) if one in above]
        if not places or node.outputs[0] in above:
            continue
        kind = _kind(node)
        is_linear = kind in _LINEAR or (kind in ("Mul", "Dot", "Switch") and len(places) == 1)
        if not is_linear and not (kind in ("TrueDiv", "CheckParameterValue") and places == [0]):
            return True
        above.update(node.outputs)
    return False


def _count_arrays(graph: LogpGraph, nodes: Iterable[Any]) -> int:
    """Count the different arrays that some nodes take and none of them makes, as far as a gradient goes."""
    own = {node for node in nodes if graph.is_free(node.outputs[0])}
    taken = {one for node in own for one in node.inputs if one.owner not in own}
    return sum(any(size != 1 for size in getattr(one.type, "shape", ())) for one in taken)


# --- recursions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """Nodes of one place each of which needs the one before."""

    at: tuple[CodeLine, ...]
    links: tuple[Any, ...]
    turns: int
    nodes: int
    is_cumulative: bool  # nothing but an associative operation, whose partial results are used


def _chains(graph: LogpGraph) -> list[_Chain]:
    """Find recursions: not plain sums, whose terms are what matters."""
    own = [(lines, node) for node in graph.distinct if (lines := graph.lines.of(node)) and graph.lines.is_own(node)]
    of_line = Counter(lines[0] for lines, _ in own)
    groups = grouped(((lines, str(node.op), _kinds(node)), node) for lines, node in own)
    candidates = [(key[0], nodes) for key, nodes in groups.items() if len(nodes) >= _FEWEST_TURNS]
    best: dict[CodeLine, _Chain] = {}
    for lines, nodes in _reaching_themselves(graph, candidates):
        turns = _longest_chain(graph, nodes)
        if turns < _FEWEST_TURNS or turns * 2 < len(nodes):
            continue
        is_plain, is_used = _accumulates(graph, nodes)
        if is_plain and not is_used:
            continue
        chain = _Chain(at=lines, links=tuple(nodes), turns=turns, nodes=of_line[lines[0]], is_cumulative=is_plain)
        known = best.get(lines[0])
        if known is None or (known.is_cumulative and not chain.is_cumulative):
            best[lines[0]] = chain
    return list(best.values())


def _kinds(node: Any) -> tuple[tuple[str, int], ...]:
    return tuple((getattr(one.type, "dtype", ""), getattr(one.type, "ndim", 0)) for one in node.inputs)


def _reaching_themselves[T](graph: LogpGraph, groups: list[tuple[T, list[Any]]]) -> Iterator[tuple[T, list[Any]]]:
    """Yield the groups some of whose nodes need others of them; by one walk for all."""
    bit_of = {node: 1 << place for place, (_, nodes) in enumerate(groups) for node in nodes}
    reached = reach(graph.nodes, {}, bit_of)
    for place, (key, nodes) in enumerate(groups):
        if any(reached.get(one, 0) >> place & 1 for node in nodes for one in node.inputs):
            yield key, nodes


def _longest_chain(graph: LogpGraph, nodes: list[Any]) -> int:
    """Count how many of some nodes stand behind each other at most."""
    links, longest = set(nodes), 0
    depth: dict[Any, int] = {}
    for node in graph.nodes:
        deepest = max((depth.get(one, 0) for one in node.inputs), default=0) + (node in links)
        if deepest:
            longest = max(longest, deepest)
            depth.update(dict.fromkeys(node.outputs, deepest))
    return longest


def _accumulates(graph: LogpGraph, nodes: list[Any]) -> tuple[bool, bool]:
    """Say whether links follow each other at once, adding up or filling in; whether what lies between is used."""
    links, direct, used = set(nodes), 0, 0
    for node in nodes:
        kind = _kind(node)
        before = [one.owner for one in node.inputs if one.owner in links]
        if kind in _ASSOCIATIVE | _FILLING and len(before) == 1:
            direct += 1
            used += kind in _ASSOCIATIVE and len(graph.clients.get(before[0].outputs[0], ())) > 1
    return direct + 1 >= len(nodes), used * 2 > direct


def _of_chain(graph: LogpGraph, chain: _Chain, own: list[Repeat]) -> Finding:
    nodes = max(chain.nodes, sum(len(repeat.nodes) for repeat in own))
    names = number_names(name for node in chain.links[-1:] for name in graph.depends_on(node.outputs[0]))
    lines = (*chain.at, *(repeat.lines[0] for repeat in own if repeat.lines[0] not in chain.at))
    cure = "a cumulative sum (or product) is" if chain.is_cumulative else "a scan is"
    return Finding(
        name=FindingName.SCALAR_LOOP,
        harm=Harm.COMPILE,
        fact=f"a Python loop writes a recursion of {chain.turns} steps into the graph, with {nodes:,} nodes: {cure} as "
        "large for a thousand steps as for ten",
        lines=lines,
        variables=names,
        count=chain.turns,
        nodes=nodes,
        work=nodes,
        instead=unrolled(lines, dims=chain.links[0].outputs[0].type.ndim, is_recursion=not chain.is_cumulative),
        estimates=estimate(Pattern.RECURSION, Extent(nodes=nodes, turns=chain.turns)),
    )
