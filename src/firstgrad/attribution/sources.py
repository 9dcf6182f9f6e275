"""Which variables of the model a node of the graph is nearest to."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_SOURCES = 3
_MOST_LOOKED_AT = 2000


def value_names(model: Any) -> dict[str, str]:
    """Map the names of a PyMC model's value variables (``sigma_log__``) to those of its groups (``sigma``)."""
    return {model.rvs_to_values[rv].name: rv.name for rv in model.free_RVs}


def nearest_sources(
    node: Any, groups: Mapping[str, str], *, most: int = MOST_SOURCES, most_looked_at: int = _MOST_LOOKED_AT
) -> tuple[str, ...]:
    """Search from a node's inputs through what computes them, breadth first, for the model's variables.

    Parameters
    ----------
    node : Apply
        Has `inputs`; each of them has a `name` and perhaps an `owner`, a node again.
    groups : mapping
        From the name of a value variable to that of its group.
    most, most_looked_at : int
        How many names are enough, and how many variables are looked at.

    Returns
    -------
    tuple of str
        Groups, nearest first. Where there are none, as for observed data: other named variables that are no constants.
    """
    found: dict[str, None] = {}
    others: dict[str, None] = {}
    waiting, seen = deque(node.inputs), {id(each) for each in node.inputs}
    while waiting and len(found) < most:
        variable = waiting.popleft()
        name = str(getattr(variable, "name", None) or "")
        if name in groups:
            found[groups[name]] = None
            continue
        if name and not hasattr(variable, "data"):
            others[name] = None
        owner = getattr(variable, "owner", None)
        for each in owner.inputs if owner is not None else ():
            if id(each) not in seen and len(seen) < most_looked_at:
                seen.add(id(each))
                waiting.append(each)
    return tuple(found or others)[:most]


def unite_sources(sources: Iterable[Sequence[str]], *, most: int = MOST_SOURCES) -> tuple[str, ...]:
    """Unite what several nodes of one unit are nearest to: the most frequent first, of equals the nearer."""
    count: Counter[str] = Counter()
    places: dict[str, int] = {}
    for each in sources:
        for place, name in enumerate(each):
            count[name] += 1
            places[name] = min(place, places.get(name, place))
    return tuple(sorted(count, key=lambda name: (-count[name], places[name])))[:most]
