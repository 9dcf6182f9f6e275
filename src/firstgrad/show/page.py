"""One self-contained page: sections of parts, which the one renderer writes as HTML."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.units import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.show.result import Part


@dataclass(frozen=True, slots=True)
class Section:
    """Parts under a heading; `id` is its anchor."""

    id: str
    title: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole page as data."""

    title: str
    facts: tuple[str, ...]  # sentences below the heading: what was counted, and what was left out
    sections: tuple[Section, ...]
    is_sortable: bool = False
    """Whether tables can be sorted and filtered: the page then runs ``tables.js``, otherwise nothing at all."""


def render_page(page: Page) -> str:
    """Write a page as HTML that needs nothing else; all texts are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from firstgrad.show.result import parts_html

    # Not select_autoescape: that one asks for the file's ending, and everything here goes into HTML.
    environment = Environment(
        loader=PackageLoader("firstgrad.show"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,  # not what is HTML already
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Not a template: what runs is the file as it is, and nothing that was measured gets into it.
    script = importlib.resources.files("firstgrad.show").joinpath("templates/tables.js").read_text("utf-8")
    return environment.get_template("page.html").render(
        page=page,
        bodies=[Markup(parts_html(section.parts)) for section in page.sections],  # noqa: S704 - parts escape all texts
        script=Markup(script),  # noqa: S704 - a file of ours
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
