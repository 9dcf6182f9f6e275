"""Numbers with their units, for people to read."""

from __future__ import annotations

_KIBI = 1024.0


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
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(seconds) >= factor * 0.9995:
            return f"{_three_digits(seconds / factor)} {unit}"
    return f"{_three_digits(seconds / 1e-9)} ns" if seconds else "0 s"


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
        if abs(amount) < _KIBI * 0.9995:
            return f"{amount:.0f} B" if unit == "B" else f"{_three_digits(amount)} {unit}"
        amount /= _KIBI
    return f"{_three_digits(amount)} GiB"


def _three_digits(value: float) -> str:
    magnitude = abs(value)
    if magnitude >= 99.95:  # noqa: PLR2004 - where rounding reaches three digits before the point
        return f"{value:.0f}"
    return f"{value:.1f}" if magnitude >= 9.995 else f"{value:.2f}"  # noqa: PLR2004 - the same
