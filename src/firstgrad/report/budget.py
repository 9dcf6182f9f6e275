"""How much of a long list goes into a page: so many items, and so many bytes, whatever users' names are like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def take_fitting[T](items: Iterable[T], most: int, most_bytes: int, size: Callable[[T], int]) -> tuple[T, ...]:
    """Take items from the start while they fit.

    Parameters
    ----------
    items : iterable
        The most important first; no more of it is read than is taken, and one.
    most, most_bytes : int
        Of items, and of their sizes together.
    size : callable
        Bytes of an item.

    Returns
    -------
    tuple
        Never more than fit, even if that is none.
    """
    taken: list[T] = []
    used = 0
    for item in items:
        used += size(item)
        if len(taken) == most or used > most_bytes:
            break
        taken.append(item)
    return tuple(taken)


def escaped_bytes(*texts: str) -> int:
    """Count the bytes of texts as HTML has them; a quotation mark takes five."""
    return sum(len(escape(text).encode("utf-8", "replace")) for text in texts)
