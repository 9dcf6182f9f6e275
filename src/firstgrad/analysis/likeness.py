"""What must be equal before the numbers of two sides may be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.errors import SpecError, UnlikeSidesError
from firstgrad.row import packages_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from firstgrad.record import Environment, Record

_NOT_THERE = "not installed"
_HOST = "host."


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Difference:
    """A condition that isn't the same on both sides.

    Attributes
    ----------
    field : str
        A package, ``python``, ``compiler``, ``threads``, ``flags``, or a part of the host fingerprint.
    base, head : str
        Its values; several, with commas, where a side has more than one.
    is_declared : bool
        Whether it was said to be the compared thing.
    """

    field: str
    base: str
    head: str
    is_declared: bool


def find_differences(
    matched: Iterable[tuple[Sequence[Record], Sequence[Record]]], across: Collection[str] = ()
) -> tuple[Difference, ...]:
    """List what differs between the records of the two sides, case by case.

    Parameters
    ----------
    matched : iterable of (sequence of Record, sequence of Record)
        A case each: what BASE and HEAD have of it.
    across : collection of str
        Fields that are the compared thing.

    Raises
    ------
    SpecError
        Where `across` has a name that no record knows, or one of the host's.
    """
    found: set[Difference] = set()
    known: set[str] = set()
    for base, head in matched:
        ours, theirs = (_conditions(each.environment for each in side) for side in (base, head))
        known |= ours.keys() | theirs.keys()
        for field in ours.keys() | theirs.keys():
            one, other = ours.get(field, {_NOT_THERE}), theirs.get(field, {_NOT_THERE})
            if len(one | other) > 1:
                found.add(Difference(field=field, base=_join(one), head=_join(other), is_declared=field in across))
    _check_declared(across, known)
    return tuple(sorted(found))


def refuse_unlike(differences: Iterable[Difference]) -> None:
    """Refuse to compare across what was not declared.

    Raises
    ------
    UnlikeSidesError
        Naming each field with both values.
    """
    unlike = tuple((each.field, each.base, each.head) for each in differences if not each.is_declared)
    if unlike:
        raise UnlikeSidesError(unlike)


def _conditions(environments: Iterable[Environment]) -> dict[str, set[str]]:
    """Every field's values on one side."""
    listed = [dict(_fields(each)) for each in environments]
    names = {name for each in listed for name in each}
    return {name: {each.get(name, _NOT_THERE) for each in listed} for name in names}


def _fields(environment: Environment) -> Iterable[tuple[str, str]]:
    yield from packages_of(environment.versions)
    yield "python", environment.python
    yield "compiler", environment.compiler or _NOT_THERE
    yield "threads", str(environment.threads)
    yield "flags", repr(environment.flags)
    # Part by part: what `HostFingerprint.digest` is made of, so that the error can say what it is that differs.
    host = environment.host
    yield f"{_HOST}processor", host.processor
    yield f"{_HOST}cores", str(host.cores)
    yield f"{_HOST}memory_bytes", str(host.memory_bytes)
    yield f"{_HOST}operating_system", host.operating_system
    yield f"{_HOST}container_limits", repr(host.container_limits)


def _check_declared(across: Collection[str], known: Collection[str]) -> None:
    allowed = sorted(name for name in known if not name.startswith(_HOST))
    for name in across:
        if known and name not in allowed:
            raise SpecError("--across", f"{name!r} cannot be declared. There are {', '.join(allowed)}")


def _join(values: set[str]) -> str:
    return ", ".join(sorted(values))
