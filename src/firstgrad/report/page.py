"""One self-contained page of what records say along commits or releases."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from firstgrad.analysis.axes import AxisKind
from firstgrad.analysis.series import group_records
from firstgrad.metrics import METRICS
from firstgrad.report.doubts import doubt_section
from firstgrad.report.environments import environment_section
from firstgrad.report.failures import failure_section
from firstgrad.report.sections import metric_section, releases_section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.analysis.axes import Axis
    from firstgrad.record import Record


class Section(Protocol):
    """Part of a page: its anchor, its heading, and the template that shows it."""

    @property
    def id(self) -> str: ...  # noqa: D102 - see the class

    @property
    def title(self) -> str: ...  # noqa: D102

    @property
    def template(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole page as data.

    Attributes
    ----------
    title : str
        Heading and window title.
    facts : tuple of str
        Sentences below the heading: what was counted, and what was left out.
    sections : tuple of Section
        In order.
    is_sortable : bool
        Whether tables of the class ``sortable`` can be sorted and filtered: the page then runs `tables.js`, and
        nothing else; without it the page runs nothing at all.
    """

    title: str
    facts: tuple[str, ...]
    sections: tuple[Section, ...]
    is_sortable: bool = False


def make_page(records: Sequence[Record], axis: Axis) -> Page:
    """Put the page together.

    Parameters
    ----------
    records : sequence of Record
        Those that don't tell their place on the axis are left out, and counted.
    axis : Axis
        Made of the same records.

    Raises
    ------
    ValueError
        Where no record has a place on the axis.
    """
    placed = [record for record in records if axis.key_of(record)]
    if not placed:
        raise ValueError(f"no record tells its {axis.kind}: nothing to report")
    groups = group_records(placed, axis)
    metrics = (metric_section(groups, metric, axis, is_open=metric is METRICS[0]) for metric in METRICS)
    first: list[Section] = [releases_section(placed)] if axis.kind is AxisKind.RELEASE else []
    used = sum(len(group) for each in groups for _, group in each.records)
    return Page(
        title="First gradients along " + ("commits" if axis.kind is AxisKind.COMMIT else "PyMC releases"),
        facts=tuple(_facts(records, placed, used, axis)),
        sections=(
            *first,
            *(section for section in metrics if section is not None),
            failure_section(placed, axis),
            doubt_section(placed),
            environment_section(placed),
        ),
    )


def render_page(page: Page) -> str:
    """Write a page as HTML that needs nothing else; all texts are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    # Not select_autoescape: that one asks for the file's ending, and everything here goes into HTML.
    environment = Environment(
        loader=PackageLoader("firstgrad.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Not a template: what runs is the file as it is, and nothing that was measured gets into it.
    script = importlib.resources.files("firstgrad.report").joinpath("templates/tables.js").read_text("utf-8")
    return environment.get_template("page.html").render(
        page=page,
        script=Markup(script),  # noqa: S704 - a file of ours
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _facts(records: Sequence[Record], placed: Sequence[Record], used: int, axis: Axis) -> list[str]:
    places = axis.places
    cases = len({record.case.id for record in placed})
    began, ended = (choose(record.started_at for record in placed) for choose in (min, max))
    facts = [
        f"{_count(len(placed), 'sample')} of {_count(cases, 'case')} at {_count(len(places), str(axis.kind))}, from "
        f"{places[0].name} to {places[-1].name}; measured from {began[:10]} to {ended[:10]} (UTC)."
    ]
    if len(placed) < len(records):
        facts.append(f"{_count(len(records) - len(placed), 'sample')} without a {axis.kind} left out.")
    if used < len(placed):
        facts.append(
            f"{_count(len(placed) - used, 'sample')} left out of figures and tables of metrics: measured with other "
            "packages than the newest sample of the same case and release."
        )
    return facts


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
