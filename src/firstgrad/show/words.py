"""Names and numbers as figures, tables and pages write them."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from firstgrad.case import Case
from firstgrad.columns import Unit
from firstgrad.model import POSE
from firstgrad.pose.spec import PARAMETERS
from firstgrad.sources import LIVE
from firstgrad.units import clean_line, format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.estimates import Estimate
    from firstgrad.pose.spec import Scalar

PROPER_NAMES = {"pymc": "PyMC", "pytensor": "PyTensor", "numba": "Numba", "jax": "JAX", "python": "Python"}
"""The packages whose versions tell most, in that order, as their projects write them."""

_LONGEST_NAME = 60
_DIGEST = re.compile(r"(?=[0-9a-f]*[0-9])[0-9a-f]{12,}")
_DIGEST_KEPT = 6


def write_value(unit: Unit, value: float) -> str:
    """Write a metric's number with its unit, such as ``5.96 s``, ``425 MiB`` or ``12,345``."""
    if unit is Unit.COUNT:
        return f"{value:,.10g}"
    return format_seconds(value) if unit is Unit.SECONDS else format_bytes(value)


def write_fitted(unit: Unit, value: float) -> str:
    """Write a number that was fitted: as `write_value`, but counts are no whole numbers then, and get four digits."""
    return f"{value:,.4g}" if unit is Unit.COUNT else write_value(unit, value)


def write_estimate(unit: Unit, estimate: Estimate) -> str:
    """Write a median with its interval; a single sample has none."""
    median = write_value(unit, estimate.value)
    if estimate.samples == 1:
        return median
    return f"{median} [{write_value(unit, estimate.low)}, {write_value(unit, estimate.high)}]"


def write_counted(unit: Unit, estimate: Estimate) -> str:
    """Write a median with its interval and the number of its samples."""
    return f"{write_estimate(unit, estimate)}, {format_count(estimate.samples, 'sample')}"


def shown(text: str, longest: int = _LONGEST_NAME) -> str:
    """Make any text fit for a figure or a page: printable, and not too long."""
    line = _printable(text)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def shorten(name: str, longest: int = 48) -> str:
    """Shorten a name in its middle, digests within it to their beginning; what can't be printed is shown as such."""
    clean = _DIGEST.sub(lambda digest: f"{digest[0][:_DIGEST_KEPT]}…", _printable(name))
    if len(clean) <= longest:
        return clean
    end = (longest - 1) // 3
    return f"{clean[: longest - 1 - end]}…{clean[-end:]}"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in clean_line(text))


def capitalised(text: str) -> str:
    """Begin a text with a capital letter, and leave the others as they are."""
    return text[:1].upper() + text[1:]


def split_common(names: Sequence[str]) -> tuple[str, list[str]]:
    """Split the words that all names begin with from the rest of each, which is empty only where all are equal."""
    if len(set(names)) == 1:
        return names[0], [""] * len(names)
    words = [re.split(r"(?<!\bno) ", name) for name in names]  # `no HMM` is one word
    count = 0
    while all(len(parts) > count + 1 for parts in words) and len({parts[count] for parts in words}) == 1:
        count += 1
    return " ".join(words[0][:count]), [" ".join(parts[count:]) for parts in words]


def listed(names: Sequence[str]) -> str:
    """Write names as a sentence lists them: with commas, and "and" before the last."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


_OPTIONS = ("backend", "device", "target", "scenario", "sampler", "gradient_backend", "chains")
_OPTIONS_OF = {"lint": (), "advise": (), "check": ("backend",)}
"""What of a case a verb takes, beside the model."""


def write_command(verb: str, case: Case) -> str:
    """Write the command of a verb about a case, as a shell takes it; '' for a model that a process alone has.

    What is as by default of every case is left out.
    """
    model = case.model
    if model.reference.startswith(LIVE):
        return ""
    words = ["firstgrad", verb, model.reference]
    for name, value in model.parameters:
        text = PARAMETERS[name].write(value) if model.reference == POSE else _write_scalar(value)
        is_option = model.reference == POSE and PARAMETERS[name].text
        words += [f"--{name.replace('_', '-')}", text] if is_option else ["--param", f"{name}={text}"]
    plain = Case(model=model, backend=case.backend)
    for name in _OPTIONS_OF.get(verb, _OPTIONS):
        value = getattr(case, name)
        if name == "backend" or value != getattr(plain, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _write_scalar(value: Scalar) -> str:
    """Write a parameter as it is read again: a text that would be read as a number is quoted."""
    if not isinstance(value, str):
        return str(value)
    try:
        json.loads(value)
    except ValueError:
        return value if value not in ("True", "False") else json.dumps(value)
    return json.dumps(value)
