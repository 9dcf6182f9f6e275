"""What ``--against`` names: a profile that is there, or a case that is still to be profiled.

The rule, in this order: a text that begins with a dash is options, which replace those of the contender; one that ends
in ``.json`` without options, or is the name of a file, is a profile's file; one whose first word is ``pose``, or which
has a colon, is a model, with options that replace those of the contender; anything else is the beginning of a kept
profile's record id.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from firstgrad.cli.options import CaseOptions, ModelOptions, spread
from firstgrad.errors import SpecError

if TYPE_CHECKING:
    from firstgrad.case import Case

_POSE = "pose"
_ENDING = ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseCase:
    """A case to profile as the base, and its label."""

    case: Case
    label: str


def names_profile(text: str) -> bool:
    """Whether ``--against`` names a profile that is there: a file, or the beginning of a record id."""
    from firstgrad.store.profiles import names_file

    if text.startswith("-"):
        return False
    if names_file(text):
        return True
    first = text.split(maxsplit=1)[:1]
    is_model = first == [_POSE] or ":" in text
    # `old.py:build --param data=x.json` is a model with options, not a file.
    return bool(first) and (not is_model or (text.endswith(_ENDING) and " -" not in text))


def read_base_case(text: str, model: ModelOptions, case: CaseOptions) -> BaseCase:
    """Make the case that ``--against`` asks for.

    Parameters
    ----------
    text : str
        As the user wrote it; options, or a model with options.
    model, case
        Options of the contender.

    Raises
    ------
    SpecError
        Where the options in the text are wrong, or leave nothing to compare.
    """
    words = _words(text)
    if not words:
        raise SpecError("--against", "is empty. Give options, a model, a kept profile's record id, or its file")
    ours, asked = _replace_options(words, model, case)
    try:
        base = asked.to_case(ours.to_model())
    except SpecError as error:
        raise SpecError(f"--against {text!r}", str(error)) from error
    if base == case.to_case(model.to_model()):
        raise SpecError(
            f"--against {text!r}",
            "is the contender itself, since options that it doesn't name are taken over. Name what differs, such as "
            "--against '--formulation vectorised'; or, to see by how much two runs of one case differ, profile it "
            "twice and compare what was kept, by record id",
        )
    return BaseCase(case=base, label=asked.label)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise SpecError(f"--against {text!r}", f"cannot be read ({error}). Are the quotes in pairs?") from None


def _replace_options(words: list[str], model: ModelOptions, case: CaseOptions) -> tuple[ModelOptions, CaseOptions]:
    """Read options with the contender's own as defaults."""
    taken_over = _plain(case)
    found, asked = _parse(words, _plain(model) | taken_over)
    if found.model != model.model and _POSE in (found.model, model.model):
        # Another family: none of the contender's sizes or parameters has a meaning there.
        return _parse(words, taken_over)
    if found.param and model.param:
        found = replace(found, param=_merge(model.param, found.param))
    if model.hmm and not found.hmm:
        inherited = {name: None for name in ("states", "hmm_algorithm") if getattr(found, name) == getattr(model, name)}
        found = replace(found, **inherited)  # type: ignore[arg-type]  # both may be none
    if found.skeleton != model.skeleton and found.parents == model.parents:
        found = replace(found, parents=None)  # they are the custom skeleton's alone
    return found, asked


def _merge(ours: list[str], theirs: list[str]) -> list[str]:
    """Replace parameters by name."""
    named = {text.partition("=")[0]: text for text in ours}
    return list((named | {text.partition("=")[0]: text for text in theirs}).values())


def _plain(options: ModelOptions | CaseOptions) -> dict[str, Any]:
    """Options as they would be written."""
    known = {each.name: getattr(options, each.name) for each in fields(options)}
    return {name: str(value) if isinstance(value, str) else value for name, value in known.items() if value is not None}


def _parse(words: list[str], defaults: dict[str, Any]) -> tuple[ModelOptions, CaseOptions]:
    import typer
    from typer.main import get_command

    found: list[tuple[ModelOptions, CaseOptions]] = []

    def take(model: ModelOptions, case: CaseOptions) -> None:
        found.append((model, case))

    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    # The annotations are given as types: strings would be looked up among this module's own names.
    take.__annotations__ = {"model": ModelOptions, "case": CaseOptions, "return": None}
    app.command(add_help_option=False)(spread(take))
    try:
        get_command(app).main(words, prog_name="--against", standalone_mode=False, default_map=defaults)
    except Exception as error:
        # What Typer raises for wrong use has this method; it has brought its own Click since 0.20.
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        told = explain().rstrip(".")
        hint = ". A path with spaces needs quotes within: --against \"'my models/old.py:build'\""
        is_extra = "extra argument" in told
        raise SpecError(f"--against {shlex.join(words)!r}", told + (hint if is_extra else "")) from None
    return found[0]
