"""What ``--against`` names: a profile that is there, or a case that is still to be profiled.

The rule, in this order: a text that begins with a dash is options, which replace those of the contender; one that ends
in ``.json`` without options, or is the name of a file, is a profile's file; one whose first word is ``pose``, or which
has a colon, is a model, with options that replace those of the contender; anything else is the beginning of a kept
profile's record id.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.case import Case
from firstgrad.cli.options import replace_options
from firstgrad.errors import SpecError
from firstgrad.model import POSE

if TYPE_CHECKING:
    from firstgrad.cli.options import CaseOptions, ModelOptions

_ENDING = ".json"
_HINT_ON_EXTRA = ". A path with spaces needs quotes within: --against \"'my models/old.py:build'\""


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
    is_model = first == [POSE] or ":" in text
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
    ours, asked = replace_options(
        words, model, case, where=f"--against {shlex.join(words)!r}", hint_on_extra=_HINT_ON_EXTRA
    )
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
