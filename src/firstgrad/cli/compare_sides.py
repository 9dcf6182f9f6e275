"""What a side of ``firstgrad compare`` asks to be measured.

The rule, part by part between commas: the first may say where (``commit:REV``, ``pymc==6.2.0+jax==0.11.0``,
``release:6.2.0``, ``env:PATH``, ``.`` for here and now, or with ``--measure`` a plain REV); each further one, or all of
them, is an option of the case without its dashes (``backend=jax``, ``hmm=on``, ``param.n=10``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, get_type_hints

from firstgrad.cli.options import CaseOptions, ModelOptions
from firstgrad.cli.replace_options import replace_options
from firstgrad.errors import SpecError

if TYPE_CHECKING:
    from firstgrad.case import Case

HERE = "."
_COMMIT, _RELEASE, _ENVIRONMENT = "commit:", "release:", "env:"
_REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w.-]+\])?\s*(==|~=|>=|<=|!=|<|>)")
_NOT_OF_A_SIDE = ("label",)
_PARAM = "param."


class Place(StrEnum):
    """Where a side is measured."""

    HERE = "here"
    COMMIT = "commit"
    RELEASE = "release"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True, kw_only=True)
class SideRequest:
    """A side as it was asked for.

    Attributes
    ----------
    text : str
        As the user wrote it.
    place : Place
        Where it is measured.
    where : str
        What git, the package manager or the file system knows it by; '' for here.
    words : tuple of str
        Options as they would stand on a command line.
    """

    text: str
    place: Place
    where: str = ""
    words: tuple[str, ...] = ()

    @property
    def requirements(self) -> tuple[str, ...]:
        """Packages of a release, as a package manager takes them."""
        return tuple(re.split(r"\+(?=[A-Za-z])", self.where))

    @property
    def short_name(self) -> str:
        """Name for labels: no ``=`` in it, nor white space, so that a label never looks like a side to measure."""
        return re.sub(r"[^\w.+]+", "-", self.text).strip("-.") or str(self.place)

    def to_case(self, model: ModelOptions, case: CaseOptions) -> Case:
        """Make the case: the common options, with this side's own in their place.

        Raises
        ------
        SpecError
            Naming the side, where its options are none or don't fit together.
        """
        if not self.words:
            return case.to_case(model.to_model())
        ours, asked = replace_options(self.words, model, case, field=_name(self.text))
        try:
            return asked.to_case(ours.to_model())
        except SpecError as error:
            raise SpecError(_name(self.text), str(error)) from error


def asks_to_measure(text: str) -> bool:
    """Whether a side can only be measured: a stored label or commit is written otherwise."""
    is_place = text.startswith((_COMMIT, _RELEASE, _ENVIRONMENT)) or _REQUIREMENT.match(text)
    return text == HERE or "=" in text or bool(is_place)


def read_side(text: str) -> SideRequest:
    """Read a side that is to be measured.

    Raises
    ------
    SpecError
        Naming the side and the part that cannot be understood.
    """
    first, *others = text.split(",")
    if _is_option(first):
        return SideRequest(text=text, place=Place.HERE, words=_words(text, [first, *others]))
    place, where = _place(text, first.strip())
    return SideRequest(text=text, place=place, where=where, words=_words(text, others))


def _is_option(part: str) -> bool:
    is_place = part.startswith((_COMMIT, _RELEASE, _ENVIRONMENT)) or _REQUIREMENT.match(part)
    return "=" in part and not is_place


def _place(text: str, first: str) -> tuple[Place, str]:
    if first == HERE:
        return Place.HERE, ""
    if _REQUIREMENT.match(first):
        return Place.RELEASE, _requirements(text, first)
    for prefix, place in ((_RELEASE, Place.RELEASE), (_ENVIRONMENT, Place.ENVIRONMENT), (_COMMIT, Place.COMMIT)):
        if first.startswith(prefix):
            where = first.removeprefix(prefix)
            if not where:
                raise SpecError(_name(text), f"nothing stands after {prefix}")
            return place, _requirements(text, f"pymc=={where}") if place is Place.RELEASE else where
    if not first:
        raise SpecError(_name(text), "is empty, or begins with a comma")
    return Place.COMMIT, first


def _requirements(text: str, found: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    for part in re.split(r"\+(?=[A-Za-z])", found):
        try:
            Requirement(part)
        except InvalidRequirement as error:
            problem = str(error).partition("\n")[0]
            raise SpecError(
                _name(text), f"{part!r} is no requirement such as pymc==6.2.0 or pymc==6.2.0+jax==0.11.0 ({problem})"
            ) from None
    return found


def _words(text: str, parts: list[str]) -> tuple[str, ...]:
    options: list[str] = []
    for part in parts:
        if "=" in part:
            options.append(part.strip())
        elif options:
            options[-1] += f",{part}"  # parents=-1,0,1
        else:
            raise SpecError(_name(text), f"expected an option such as backend=jax, got {part!r}")
    return tuple(word for option in options for word in _option_words(text, option))


def _option_words(text: str, option: str) -> tuple[str, ...]:
    written, _, value = option.partition("=")
    name = written.strip().replace("-", "_")
    if name.startswith(_PARAM):
        return (f"--param={written.strip().removeprefix(_PARAM)}={value}",)
    kinds = _kinds()
    if name not in kinds:
        raise SpecError(
            _name(text), f"{written.strip()!r} is no option of a case. There are {', '.join(sorted(kinds))}"
        )
    if name == "model":
        return (value,)
    option_name = f"--{name.replace('_', '-')}"
    if kinds[name] is not bool:
        return (f"{option_name}={value}",)
    if value not in ("on", "off"):
        raise SpecError(_name(text), f"{name} is on or off, got {value!r}")
    if value == "on":
        return (option_name,)
    if name != "hmm":
        raise SpecError(_name(text), f"{name} is off unless it is switched on; leave it away")
    return ("--no-hmm",)


def _kinds() -> dict[str, Any]:
    """List the options that a side may have, with their types."""
    kinds: dict[str, Any] = {}
    for options in (ModelOptions, CaseOptions):
        hints = get_type_hints(options)
        kinds |= {each.name: hints[each.name] for each in fields(options)}
    return {name: kind for name, kind in kinds.items() if name not in ("param", *_NOT_OF_A_SIDE)}


def _name(text: str) -> str:
    return f"side {text!r}"
