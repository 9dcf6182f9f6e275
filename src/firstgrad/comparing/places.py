"""What a side asks to be measured, and where; each place made ready.

The rule, part by part between commas: the first may say where (``commit:REV``, ``pymc==6.2.0+jax==0.11.0``,
``release:6.2.0``, ``env:PATH``, ``.`` for here and now, or with ``--measure`` a plain REV); each further one, or all of
them, is an option of the case without its dashes (``backend=jax``, ``hmm=on``, ``param.n=10``).
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.backends import facts_of
from firstgrad.case import Sampler
from firstgrad.comparing.environments import (
    Recipe,
    check_out,
    find_python,
    keep_environment,
    name_of,
    own_requirements,
    project_name,
)
from firstgrad.comparing.sides import resolve_commit
from firstgrad.errors import PythonEnvironmentError, SpecError
from firstgrad.measuring.environment import PACKAGES, installed_version
from firstgrad.measuring.interpreter import WORKER_NEEDS, ask_interpreter, require_same_protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack

    from firstgrad.case import Case
    from firstgrad.measuring.interpreter import Interpreter

HERE = "."
_COMMIT, _RELEASE, _ENVIRONMENT = "commit:", "release:", "env:"
_REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w.-]+\])?\s*(==|~=|>=|<=|!=|<|>)")
_BETWEEN_REQUIREMENTS = re.compile(r"\+(?=[A-Za-z])")
_OWN = "firstgrad"


class SidePlace(StrEnum):
    """Where a side is measured."""

    HERE = "here"
    COMMIT = "commit"
    RELEASE = "release"
    ENVIRONMENT = "environment"


_NEXT_STEPS = {
    SidePlace.RELEASE: (
        "\nDo these versions go together, and with this Python? Name others beside it (pymc==6.2.0+numpy==2.4.6"
        "+python==3.12), or make the environment yourself and give env:PATH"
    ),
    SidePlace.COMMIT: (
        "\nDoes that commit install by hand? An environment in which it is installed can be given as env:PATH"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SideRequest:
    """A side as it was asked for."""

    text: str  # as the user wrote it
    place: SidePlace
    where: str = ""  # what git, the package manager or the file system knows it by; '' for here
    options: tuple[str, ...] = ()  # of the case, each ``name=value``

    @property
    def field(self) -> str:
        """What errors call it."""
        return f"side {self.text!r}"

    @property
    def requirements(self) -> tuple[str, ...]:
        """Packages of a release, as a package manager takes them."""
        return tuple(_BETWEEN_REQUIREMENTS.split(self.where))

    @property
    def short_name(self) -> str:
        """Name for labels: no ``=`` in it, nor white space, so that a label never looks like a side to measure."""
        return re.sub(r"[^\w.+]+", "-", self.text).strip("-.") or str(self.place)


def asks_to_measure(text: str) -> bool:
    """Whether a side can only be measured: a stored label or commit is written otherwise."""
    return text == HERE or "=" in text or _is_place(text)


def read_side(text: str) -> SideRequest:
    """Read a side that is to be measured; raises SpecError naming the side and the part that cannot be understood."""
    parts = text.split(",")
    place, where = SidePlace.HERE, ""
    if "=" not in parts[0] or _is_place(parts[0]):
        place, where = _read_place(text, parts.pop(0).strip())
    options: list[str] = []
    for part in parts:
        if "=" in part:
            options.append(part.strip())
        elif options:
            options[-1] += f",{part}"  # parents=-1,0,1
        else:
            raise SpecError(f"side {text!r}", f"expected an option such as backend=jax, got {part!r}")
    return SideRequest(text=text, place=place, where=where, options=tuple(options))


def _is_place(part: str) -> bool:
    return part.startswith((_COMMIT, _RELEASE, _ENVIRONMENT)) or bool(_REQUIREMENT.match(part))


def _read_place(text: str, first: str) -> tuple[SidePlace, str]:
    if first == HERE:
        return SidePlace.HERE, ""
    if _REQUIREMENT.match(first):
        return SidePlace.RELEASE, _checked_requirements(text, first)
    for prefix, place in (
        (_RELEASE, SidePlace.RELEASE),
        (_ENVIRONMENT, SidePlace.ENVIRONMENT),
        (_COMMIT, SidePlace.COMMIT),
    ):
        if first.startswith(prefix):
            where = first.removeprefix(prefix)
            if not where:
                raise SpecError(f"side {text!r}", f"nothing stands after {prefix}")
            return place, _checked_requirements(text, f"pymc=={where}") if place is SidePlace.RELEASE else where
    if not first:
        raise SpecError(f"side {text!r}", "is empty, or begins with a comma")
    return SidePlace.COMMIT, first


def _checked_requirements(text: str, where: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    for part in _BETWEEN_REQUIREMENTS.split(where):
        try:
            Requirement(part)
        except InvalidRequirement as error:
            problem = str(error).partition("\n")[0]
            raise SpecError(
                f"side {text!r}",
                f"{part!r} is no requirement such as pymc==6.2.0 or pymc==6.2.0+jax==0.11.0 ({problem})",
            ) from None
    return where


# --- made ready ---------------------------------------------------------------------------------------------------


def make_ready(
    request: SideRequest,
    cases: Sequence[Case],
    *,
    copies: Sequence[Path] = (),
    stack: ExitStack,
    tell: Callable[[str], None],
) -> Interpreter | None:
    """Make ready where a side's cases are measured: a kept environment, a commit's files, or a Python that is there.

    None where this process's own Python measures, here. `copies` are put beside a commit's files. What is to be removed
    after measuring goes to `stack`.

    Raises SpecError where git knows no such commit, or there is no such Python; PythonEnvironmentError where the
    environment can't be made or used. Both name the side.
    """
    try:
        match request.place:
            case SidePlace.HERE:
                return None
            case SidePlace.ENVIRONMENT:
                return ask_interpreter(Path(request.where).expanduser().absolute())
            case SidePlace.RELEASE:
                return ask_interpreter(_release(request, cases, tell))
            case SidePlace.COMMIT:
                return _commit(request, cases, copies, stack, tell)
    except PythonEnvironmentError as error:
        raise PythonEnvironmentError(f"{request.field}: {error}{_NEXT_STEPS.get(request.place, '')}") from error


def _release(request: SideRequest, cases: Sequence[Case], tell: Callable[[str], None]) -> Path:
    given = [text for text in request.requirements if name_of(text) != "python"]
    pythons = [text for text in request.requirements if name_of(text) == "python"]
    if not {name_of(text) for text in given} & {"pymc", "pytensor"}:
        # Another package is compared: these two stay as they are here.
        here = {name: installed_version(name) for name in ("pymc", "pytensor")}
        given += [f"{name}=={version}" for name, version in here.items() if version]
    recipe = Recipe(requirements=(*given, *own_requirements(needs_of(cases, WORKER_NEEDS), given=given)))
    if pythons:
        version = pythons[0].partition("==")[2].strip()
        python = find_python(version)
        if python is None:
            raise SpecError(
                request.field,
                f"no Python {version or pythons[0]} was found (python{version} on PATH, pyenv's, this one). Install "
                "it, or name one that is there: +python==3.12",
            )
        recipe = replace(recipe, python=str(python), python_version=version)
    return keep_environment(recipe, tell=tell)


def _commit(
    request: SideRequest, cases: Sequence[Case], copies: Sequence[Path], stack: ExitStack, tell: Callable[[str], None]
) -> Interpreter:
    commit = resolve_commit(request.where)
    if not commit:
        raise SpecError(
            request.field,
            f"git knows no commit {request.where!r} in {Path.cwd()}. A side that is measured is a commit, options such "
            "as backend=jax, a release such as pymc==6.2.0, env:PATH, or . for here and now",
        )
    checkout = stack.enter_context(check_out(commit, copies=copies))
    project = checkout.project
    if project is None:  # nothing to install: its files are measured with the packages that are here
        return ask_interpreter(Path(sys.executable), folder=checkout.folder)
    is_own = project_name(project) == _OWN
    recipe = Recipe(
        requirements=own_requirements(needs_of(cases, () if is_own else WORKER_NEEDS)),
        # What is compared is commits: both get the packages that are here, unless a commit asks for others.
        constraints=tuple(
            f"{name}=={version}" for name in PACKAGES if name != _OWN and (version := installed_version(name))
        ),
        source=f"{checkout.commit} {project.relative_to(checkout.root)}",
    )
    python = keep_environment(recipe, project=project, tell=tell)
    interpreter = ask_interpreter(python, folder=checkout.folder, has_own_firstgrad=is_own)
    if is_own:
        require_same_protocol(interpreter)
    return interpreter


def needs_of(cases: Sequence[Case], worker: tuple[str, ...]) -> tuple[str, ...]:
    """List what measuring cases takes; where nobody is named who draws, whom there is here."""
    names = dict.fromkeys(worker)
    for case in cases:
        facts, sampler = facts_of(case.backend), case.sampler_package
        if sampler and case.sampler is Sampler.AUTO and not installed_version(sampler):
            sampler = ""
        if facts.is_real:
            names |= dict.fromkeys(filter(None, ("pymc", facts.package, sampler)))
    return tuple(names)
