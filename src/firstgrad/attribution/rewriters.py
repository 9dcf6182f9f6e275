"""The rewriters within each pass, from the profile that PyTensor keeps of a rewrite."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from firstgrad.profile import Rewriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# How long PyTensor's tuples are, by the kind of rewriter that left them; each begins with that rewriter or a count.
_SEQUENCE, _EQUILIBRIUM, _WALK, _MERGE = 10, 12, 8, 7


def read_rewriters(stats: Any, is_mark: Callable[[Any], bool]) -> tuple[Rewriter, ...]:
    """Read what each rewriter of each pass took.

    A rewriter that runs others is replaced by those, so that nothing is counted twice: the rewriters of a pass
    together take no longer than the pass. What is missing to it is the pass's own (sorting the graph, for one).

    Parameters
    ----------
    stats : pytensor.compile.ProfileStats
        Of a compile under ``profile_optimizer=True``.
    is_mark : callable
        Says of a rewriter that firstgrad put it there.

    Returns
    -------
    tuple of Rewriter
        Those that took any time or changed anything, dearest first; empty where PyTensor left no profile.
    """
    profile = getattr(stats, "rewriter_profile", None)
    if not profile:
        return ()
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    applied: Counter[tuple[str, str]] = Counter()
    details = profile[1]
    for each, spent, inner in zip(details[0].data, details[1], details[6], strict=True):
        if is_mark(each):
            continue
        pass_name = _name(each)
        for name, took, times in _split(each, float(spent), inner):
            seconds[pass_name, name] += took
            applied[pass_name, name] += times
    found = [
        Rewriter(name=name, pass_name=pass_name, wall_seconds=took, applied=applied[pass_name, name])
        for (pass_name, name), took in seconds.items()
        if took > 0 or applied[pass_name, name]
    ]
    return tuple(sorted(found, key=lambda each: -each.wall_seconds))


def _split(rewriter: Any, spent: float, profile: Any) -> Iterator[tuple[str, float, int]]:
    """Yield name, seconds and applications of what one rewriter consists of, itself where it is one piece."""
    size = len(profile) if isinstance(profile, tuple) else 0
    if size == _SEQUENCE and len(profile[1]) == len(profile[6]) == len(getattr(rewriter, "data", ())):
        for each, took, inner in zip(rewriter.data, profile[1], profile[6], strict=True):
            yield from _split(each, float(took), inner)
    elif size == _EQUILIBRIUM:
        applied: Counter[Any] = Counter()
        for loop in profile[2]:
            applied.update(loop)
        for each, took in profile[6].items():
            yield _name(each), float(took), applied[each]
    elif size == _WALK:
        # A walk is nameless where its one node rewriter has the name; the fusion's tuple ends in a time instead.
        named = rewriter if _given_name(rewriter) or isinstance(profile[7], (int, float)) else profile[7]
        yield _name(named), spent, int(profile[1])
    elif size == _MERGE and isinstance(profile[5], int):
        yield _name(rewriter), spent, profile[5]
    else:
        yield _name(rewriter), spent, 0


def _given_name(rewriter: Any) -> str:
    return str(getattr(rewriter, "name", None) or getattr(rewriter, "__name__", None) or "")


def _name(rewriter: Any) -> str:
    return _given_name(rewriter) or type(rewriter).__name__
