"""One self-contained page: sections of parts, which the one renderer writes as HTML."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstgrad.units import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jinja2 import Environment
    from rich.text import Text as RichText

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
    has_source: bool = False  # it is of one run, and shows the user's source
    has_time_line: bool = False  # the page then runs ``timeline.js``, too
    made_by: str = "firstgrad report"


class PageOnly:
    """A part that only a page has."""

    def to_terminal(self, width: int) -> Iterator[RichText]:  # noqa: ARG002 - as `Part` has it
        """Yield nothing."""
        return iter(())

    def to_markdown(self) -> str:
        """Return nothing."""
        return ""


@dataclass(frozen=True, slots=True)
class Markup(PageOnly):
    """A template of ours with its values, all of which are escaped."""

    template: str
    values: Mapping[str, Any]

    def to_html(self) -> str:
        """Return an element of a page."""
        return _environment().get_template(self.template).render(self.values)


def render_page(page: Page) -> str:
    """Write a page as HTML that needs nothing else; all texts are escaped."""
    from markupsafe import Markup as Safe

    from firstgrad.show.result import parts_html

    # Not templates: what runs are the files as they are, and nothing that was measured gets into them.
    bodies = [Safe(parts_html(section.parts)) for section in page.sections]  # noqa: S704 - parts escape all texts
    has_figures = any("<figure>" in body for body in bodies)
    names = ["tables.js"] * page.is_sortable + ["timeline.js"] * page.has_time_line + ["charts.js"] * has_figures
    folder = importlib.resources.files("firstgrad.show").joinpath("templates")
    script = "\n".join(folder.joinpath(name).read_text("utf-8") for name in names)
    return (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            bodies=bodies,
            script=Safe(script),  # noqa: S704 - files of ours
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Not select_autoescape: that one asks for the file's ending, and everything here goes into HTML.
    return Environment(
        loader=PackageLoader("firstgrad.show"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,  # not what is HTML already
        trim_blocks=True,
        lstrip_blocks=True,
    )
