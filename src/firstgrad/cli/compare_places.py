"""Makes ready what a side is measured with: a kept environment, a commit's files, or a Python that is there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.case import BackendName
from firstgrad.cli.compare_sides import Place
from firstgrad.errors import PythonEnvironmentError, SpecError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from firstgrad.cli.compare_sides import SideRequest
    from firstgrad.environments.checkout import Checkout
    from firstgrad.measure.interpreter import Interpreter

_OWN = "firstgrad"
_COMPILERS = ("numba", "jax")


def make_ready(
    request: SideRequest, backend: BackendName, *, stack: ExitStack, tell: Callable[[str], None]
) -> Interpreter | None:
    """Make ready where a side is measured.

    Parameters
    ----------
    request : SideRequest
        The side.
    backend : BackendName
        Whose packages it needs.
    stack : ExitStack
        Takes what is to be removed after measuring.
    tell : callable
        Takes lines for a person.

    Returns
    -------
    Interpreter or None
        None where this process's own Python measures, here.

    Raises
    ------
    SpecError
        Where git knows no such commit, or there is no such Python.
    PythonEnvironmentError
        Where the environment can't be made or used. Both name the side.
    """
    from firstgrad.measure.interpreter import ask_interpreter

    try:
        match request.place:
            case Place.HERE:
                return None
            case Place.ENVIRONMENT:
                return ask_interpreter(Path(request.where).expanduser().absolute())
            case Place.RELEASE:
                return ask_interpreter(_release(request, backend, tell))
            case Place.COMMIT:
                return _commit(request, backend, stack, tell)
    except PythonEnvironmentError as error:
        raise PythonEnvironmentError(f"side {request.text!r}: {error}{_next_step(request)}") from error


def _release(request: SideRequest, backend: BackendName, tell: Callable[[str], None]) -> Path:
    from firstgrad.environments.kept import Recipe, keep_environment
    from firstgrad.environments.make import find_python
    from firstgrad.environments.needs import name_of, own_requirements
    from firstgrad.measure.environment import installed_version
    from firstgrad.measure.interpreter import WORKER_NEEDS

    given = [each for each in request.requirements if name_of(each) != "python"]
    wanted = [each for each in request.requirements if name_of(each) == "python"]
    names = {name_of(each) for each in given}
    if not names & {"pymc", "pytensor"}:  # another package is compared: these two stay as they are here
        here = {name: installed_version(name) for name in ("pymc", "pytensor")}
        given += [f"{name}=={version}" for name, version in here.items() if version]
    python = Path(sys.executable)
    version = ".".join(map(str, sys.version_info[:3]))
    if wanted:
        version = wanted[0].partition("==")[2].strip()
        found = find_python(version)
        if found is None:
            raise SpecError(
                f"side {request.text!r}",
                f"no Python {version or wanted[0]} was found (python{version} on PATH, pyenv's, this one). Install it, "
                "or name one that is there: +python==3.12",
            )
        python = found
    recipe = Recipe(
        python=str(python),
        python_version=version,
        requirements=(*given, *own_requirements(_needs(backend, WORKER_NEEDS), given=given)),
    )
    return keep_environment(recipe, tell=tell)


def _commit(request: SideRequest, backend: BackendName, stack: ExitStack, tell: Callable[[str], None]) -> Interpreter:
    from firstgrad.cli.git import resolve_commit
    from firstgrad.environments.checkout import check_out, project_name
    from firstgrad.measure.interpreter import ask_interpreter, require_same_protocol

    commit = resolve_commit(request.where)
    if not commit:
        raise SpecError(
            f"side {request.text!r}",
            f"git knows no commit {request.where!r} in {Path.cwd()}. A side that is measured is a commit, options such "
            "as backend=jax, a release such as pymc==6.2.0, env:PATH, or . for here and now",
        )
    checkout = stack.enter_context(check_out(commit))
    project = checkout.project
    if project is None:  # nothing to install: its files are measured with the packages that are here
        return ask_interpreter(Path(sys.executable), folder=checkout.folder)
    is_own = project_name(project) == _OWN
    python = _commit_environment(checkout, project, backend, tell=tell, is_own=is_own)
    interpreter = ask_interpreter(python, folder=checkout.folder, has_own_firstgrad=is_own)
    if is_own:
        require_same_protocol(interpreter)
    return interpreter


def _commit_environment(
    checkout: Checkout, project: Path, backend: BackendName, *, tell: Callable[[str], None], is_own: bool
) -> Path:
    from firstgrad.environments.kept import Recipe, keep_environment
    from firstgrad.environments.needs import own_requirements
    from firstgrad.measure.environment import PACKAGES, installed_version
    from firstgrad.measure.interpreter import WORKER_NEEDS

    recipe = Recipe(
        python=sys.executable,
        python_version=".".join(map(str, sys.version_info[:3])),
        requirements=own_requirements(_needs(backend, () if is_own else WORKER_NEEDS)),
        # What is compared is commits: both get the packages that are here, unless a commit asks for others.
        constraints=tuple(
            f"{name}=={version}" for name in PACKAGES if name != _OWN and (version := installed_version(name))
        ),
        source=f"{checkout.commit} {project.relative_to(checkout.root)}",
    )
    return keep_environment(recipe, project=project, tell=tell)


def _needs(backend: BackendName, worker: tuple[str, ...]) -> tuple[str, ...]:
    if backend is BackendName.FAKE:
        return worker
    # jax_fast and the like are JAX, too
    return (*worker, "pymc", *(name for name in _COMPILERS if backend.startswith(name)))


def _next_step(request: SideRequest) -> str:
    match request.place:
        case Place.RELEASE:
            return (
                "\nDo these versions go together, and with this Python? Name others beside it (pymc==6.2.0+numpy==2.4.6"
                "+python==3.12), or make the environment yourself and give env:PATH"
            )
        case Place.COMMIT:
            return (
                "\nDoes that commit install by hand? An environment in which it is installed can be given as env:PATH"
            )
        case _:
            return ""
