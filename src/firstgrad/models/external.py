"""The user's own model: found by its reference, called, and checked."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.errors import ModelError
from firstgrad.models.arguments import fit_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.case import ExternalModel


@dataclass(frozen=True, slots=True)
class Built:
    """What a factory returned.

    Attributes
    ----------
    model : pymc.Model
        With at least one free variable.
    initial : dict, optional
        The start point the user gave, by value name.
    """

    model: Any
    initial: dict[str, Any] | None


def find_factory(external: ExternalModel) -> Callable[..., Any]:
    """Import the file or module that a reference names, and find its function.

    Raises
    ------
    ModelError
        Where the file, module or function is missing, or the import fails.
    """
    place, _, name = external.reference.rpartition(":")
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    factory = getattr(module, name, None)
    if not callable(factory):
        there = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise ModelError(f"{place} has no function {name!r}. It has: {', '.join(there) or 'none'}")
    return factory  # type: ignore[no-any-return]


def call_factory(factory: Callable[..., Any], external: ExternalModel) -> Built:
    """Call a user's factory and check what it returns.

    Raises
    ------
    ModelError
        Where the parameters don't fit its signature (`fit_arguments`), it raises, returns something else than a model
        or a pair ``(model, initial_point)``, or the model has no free variable.
    """
    arguments = fit_arguments(factory, external)
    try:
        result = factory(**arguments)
    except MemoryError:
        raise  # says something about the machine, not about the model
    except (Exception, SystemExit) as error:
        raise ModelError(f"{external.reference} raised {type(error).__name__}: {error}") from error
    model, initial = result if isinstance(result, tuple) and len(result) == 2 else (result, None)  # noqa: PLR2004 - a pair
    if not (hasattr(model, "free_RVs") and hasattr(model, "compile_fn")):
        raise ModelError(
            f"{external.reference} returned {type(result).__name__}; it must return a pm.Model or a pair "
            "(model, initial_point)"
        )
    if not model.free_RVs:
        raise ModelError(f"{external.reference} returned a model with no free variable: nothing to differentiate")
    if initial is not None and not hasattr(initial, "items"):
        raise ModelError(
            f"{external.reference}: its initial point is a {type(initial).__name__}; it must be a dict by "
            "value name, such as model.initial_point() returns"
        )
    return Built(model, dict(initial) if initial is not None else None)


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise ModelError(f"no file {path} (looked from {Path.cwd()})")
    spec = importlib.util.spec_from_file_location(f"_firstgrad_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    # The file's own folder, as when Python runs it: its neighbours can be imported.
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ModelError(f"{path}, line {error.lineno}: syntax error: {error.msg}") from error
    except MemoryError:
        raise
    except SystemExit as error:
        raise _is_script(str(path), error) from error
    except Exception as error:
        raise ModelError(f"importing {path} raised {type(error).__name__}: {error}") from error
    return module


def _load_module(name: str) -> Any:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        raise ModelError(f"{error.filename}, line {error.lineno}: syntax error: {error.msg}") from error
    except MemoryError:
        raise
    except SystemExit as error:
        raise _is_script(name, error) from error
    except Exception as error:
        raise ModelError(f"importing {name} raised {type(error).__name__}: {error}") from error


def _is_script(place: str, error: SystemExit) -> ModelError:
    return ModelError(
        f'importing {place} raised SystemExit: {error}. Put what runs as a script below if __name__ == "__main__":'
    )
