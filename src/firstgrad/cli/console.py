"""The terminal as every verb writes to it."""

from __future__ import annotations

from rich.console import Console


def make_console(*, stderr: bool = False) -> Console:
    """Make a console that prints texts as they are.

    Without markup, since names of users' models and variables may hold brackets, and so does
    ``pip install "firstgrad[jax]"``.
    """
    return Console(stderr=stderr, markup=False, highlight=False)
