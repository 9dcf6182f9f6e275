"""Options that replace some of those a command was given: for another side of the same question."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from firstgrad.cli.options import CaseOptions, ModelOptions, spread
from firstgrad.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

POSE = "pose"


def replace_options(
    words: Sequence[str], model: ModelOptions, case: CaseOptions, *, field: str, hint_on_extra: str = ""
) -> tuple[ModelOptions, CaseOptions]:
    """Read options with a command's own as defaults.

    Another model family takes over nothing of the model's own options. Of the same one, what belongs to a part that
    isn't there any more (states without an HMM, the parents of another skeleton) isn't taken over either.

    Parameters
    ----------
    words : sequence of str
        As on a command line: options, and at most one model.
    model, case
        The command's own.
    field : str
        What the user calls these words, for errors.
    hint_on_extra : str
        Added to the error where there are more arguments than one model.

    Raises
    ------
    SpecError
        Naming `field`, where the words are no such options.
    """
    taken_over = _plain(case)

    def parse(defaults: dict[str, Any]) -> tuple[ModelOptions, CaseOptions]:
        return _parse(words, defaults, field=field, hint_on_extra=hint_on_extra)

    found, asked = parse(_plain(model) | taken_over)
    if found.model != model.model and POSE in (found.model, model.model):
        # Another family: none of the command's sizes or parameters has a meaning there.
        return parse(taken_over)
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


def _parse(
    words: Sequence[str], defaults: dict[str, Any], *, field: str, hint_on_extra: str
) -> tuple[ModelOptions, CaseOptions]:
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
        get_command(app).main(list(words), prog_name=field, standalone_mode=False, default_map=defaults)
    except Exception as error:
        # What Typer raises for wrong use has this method; it has brought its own Click since 0.20.
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        told = explain().rstrip(".")
        raise SpecError(field, told + (hint_on_extra if "extra argument" in told else "")) from None
    return found[0]
