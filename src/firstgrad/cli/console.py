"""The terminal as every verb writes to it."""

from __future__ import annotations

from rich.console import Console

LOG_WIDTH = 140
"""Columns where there is no terminal to ask: tables in a log keep their lines."""


def make_console(*, stderr: bool = False) -> Console:
    """Make a console that prints texts as they are.

    Without markup, since names of users' models and variables may hold brackets, and so does
    ``pip install "firstgrad[jax]"``.
    """
    console = Console(stderr=stderr, markup=False, highlight=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    return console
