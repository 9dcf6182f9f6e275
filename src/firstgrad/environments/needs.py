"""What firstgrad needs of an environment that it measures in."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_OWN = "firstgrad"


def name_of(requirement: str) -> str:
    """Name of the package that a requirement is about, spelled as package managers compare it."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    return canonicalize_name(Requirement(requirement).name)


def own_requirements(names: Iterable[str], *, given: Collection[str] = ()) -> tuple[str, ...]:
    """Write requirements for packages as this firstgrad asks for them, its extras included.

    Parameters
    ----------
    names : iterable of str
        Packages, such as ``cattrs`` or ``jax``.
    given : collection of str
        Requirements of the user's; packages that are among them are left out.

    Returns
    -------
    tuple of str
        A package that firstgrad asks nothing of stands there by its name.
    """
    from packaging.requirements import Requirement

    try:
        asked = [Requirement(each) for each in requires(_OWN) or ()]
    except PackageNotFoundError:  # run from its source folder
        asked = []
    bounds = {name_of(each.name): f"{each.name}{each.specifier}" for each in asked if each.name != _OWN}
    there = {name_of(each) for each in given}
    return tuple(bounds.get(name, name) for name in names if name not in there)
