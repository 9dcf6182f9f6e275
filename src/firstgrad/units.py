"""Numbers with their units, and texts from outside, for people to read."""

from __future__ import annotations

import math
import re

from firstgrad.errors import SpecError

_KIBI = 1024.0
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_FACTORS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "K": 2**10,
    "M": 2**20,
    "G": 2**30,
}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def format_seconds(seconds: float) -> str:
    """Write a duration with three significant digits.

    Parameters
    ----------
    seconds : float
        A duration, zero or more.

    Returns
    -------
    str
        For example ``"196 s"``, ``"1.04 s"``, ``"350 µs"``.
    """
    if seconds == 0 or math.isnan(seconds):
        return f"{abs(seconds):.0f} s"
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(seconds) >= factor * 0.9995:
            return f"{_three_digits(seconds / factor)} {unit}"
    return f"{_three_digits(seconds / 1e-9)} ns"


def span(seconds: float) -> str:
    """Write how long something takes, as roughly as it is known."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR / _MINUTE:02.0f} min"
    return f"{seconds / _DAY:.1f} days"


def format_bytes(size_bytes: float) -> str:
    """Write a size in binary units with three significant digits.

    Parameters
    ----------
    size_bytes : float
        A size or a difference of sizes, in bytes.

    Returns
    -------
    str
        For example ``"860 MiB"`` or ``"-1.50 KiB"``.
    """
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if abs(amount) < _KIBI * 0.9995 or math.isnan(amount):
            return f"{amount:z.0f} B" if unit == "B" else f"{_three_digits(amount)} {unit}"
        amount /= _KIBI
    return f"{_three_digits(amount)} GiB"


def format_count(number: int, what: str) -> str:
    """Write a number of things, such as ``"1 case"`` or ``"2,500 cases"``; the plural takes an s."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


# Control characters but the line break and the tab, halves of surrogate pairs, and what turns the direction of writing.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)


def clean(text: str) -> str:
    r"""Write what would steer a terminal, or turn a line around, as escapes such as ``\x1b``."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


def clean_line(text: str) -> str:
    r"""Write a text in one line: as `clean`, and line breaks and tabs as ``\n`` and ``\t``."""
    return clean(text).replace("\n", r"\n").replace("\t", r"\t")


MOST_DIGITS = 300
"""A whole number of more digits fits into no float."""
MOST = 2**62
"""No whole number that is asked for, or was counted, is larger: databases hold no more."""


def require_count(name: str, value: object, *, least: int = 1, most: int = MOST) -> None:
    """Refuse what is no whole number of a size that makes sense; raises SpecError naming it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SpecError(name, f"expected a whole number >= {least}, got {value!r}")
    if value > most:
        raise SpecError(name, f"expected a whole number <= {most:,}, got {shorten_middle(str(value))}")


def shorten_middle(text: str, longest: int = 60) -> str:
    """Shorten a long text in its middle, and say how long it was."""
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end]}...{text[-end:]} ({len(text):,} letters)"


def parse_bytes(text: str) -> int:
    """Read a size such as ``4GiB``, ``500 MB`` or ``1073741824``.

    Parameters
    ----------
    text : str
        A number and a unit: KB, MB, GB count by 1000; KiB, MiB, GiB and K, M, G by 1024.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    SpecError
        Where it is no size.
    """
    found = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*([A-Za-z]*)\s*", text)
    factor = _FACTORS.get(found[2].upper()) if found else None
    if found is None or factor is None:
        raise SpecError("size", f"expected a size such as 4GiB or 500MB, got {shorten_middle(text)!r}")
    return round(float(found[1]) * factor)


def parse_seconds(text: str) -> float:
    """Read a duration such as ``30m``, ``1.5h``, ``90 s`` or ``90``.

    Returns
    -------
    float
        Seconds, more than zero.

    Raises
    ------
    SpecError
        Where it is no duration.
    """
    found = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*(s|m|min|h|)\s*", text)
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not seconds:
        raise SpecError("duration", f"expected a duration such as 90s, 30m or 1.5h, got {shorten_middle(text)!r}")
    return seconds


def _three_digits(value: float) -> str:
    magnitude = abs(value)
    if magnitude >= 99.95:  # noqa: PLR2004 - where rounding reaches three digits before the point
        return f"{value:.0f}"
    if magnitude >= 9.995:  # noqa: PLR2004 - the same
        return f"{value:.1f}"
    return f"{value:.2f}" if magnitude >= 0.999 else f"{value:.3g}"  # noqa: PLR2004 - less than the smallest unit
