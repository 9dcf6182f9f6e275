"""One style for all figures, and the two ways out: files, and SVG within a page.

Legible in print and on dark and light pages, safe for colour-blind readers.
"""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary
from xml.etree import ElementTree as ET

from firstgrad.phase import Phase
from firstgrad.units import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

    from firstgrad.show.result import Picture

# Okabe and Ito's palette (2008, Color Universal Design), one colour a phase; those of draws alone are from Paul Tol's
# muted scheme, which is made for colour-blind readers, too.
PHASE_COLOURS = {
    Phase.IMPORT: "#999999",
    Phase.BUILD: "#F0E442",
    Phase.START_POINT: "#999933",
    Phase.LOGP_GRAPH: "#56B4E9",
    Phase.GRAD_GRAPH: "#009E73",
    Phase.REWRITE: "#E69F00",
    Phase.LINK: "#CC79A7",
    Phase.WRAPPERS: "#882255",
    Phase.OTHER_FUNCTIONS: "#DDCC77",
    Phase.FIRST_CALL: "#D55E00",
    Phase.FIRST_DRAW: "#332288",
    Phase.EVALUATE: "#0072B2",
}
"""Colour of each phase, the same in every figure."""

SERIES_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours of lines, from the same palette: without black and yellow, which vanish on a dark or a white page."""

SERIES_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Markers of lines, so that none is told by its colour alone; as many as make each pair with a colour unique."""

_SETTINGS: dict[Any, Any] = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "font.size": 10.0,
    "text.parse_math": False,  # users' names may hold dollars
    "savefig.dpi": 150.0,
    "svg.hashsalt": "firstgrad",  # the same figure gives the same file
}

_BLACK, _WHITE = "#000000", "#ffffff"
_SVG = "{http://www.w3.org/2000/svg}"
_FONT = re.compile(r"font-family: [^;]*;? ?")
_TICK = re.compile(r"xtick_\d+")
_LEFT_OUT = {"metadata", "style"}  # both would act on the whole page or name foreign addresses


class Tip(NamedTuple):
    """What a page tells of a mark where one points at it: of which line it is, where on it, and its value."""

    line: str
    at: str
    value: str


class PageRole(StrEnum):
    """What an artist is to a page's script."""

    TIPS = "tips"  # has values to tell
    ALONG = "along"  # a panel that can be zoomed along its horizontal axis
    LEADER = "leader"  # leads from a line's end to its name
    NOTE = "note"  # a text at a place of a panel


_ROLES: WeakKeyDictionary[Artist, tuple[PageRole, tuple[Tip, ...]]] = WeakKeyDictionary()


def set_role(artist: Artist, role: PageRole, tips: Sequence[Tip] = ()) -> None:
    """Say what an artist is on a page; `tips` are told mark by mark."""
    _ROLES[artist] = (role, tuple(tips))


def tips_of(figure: Figure) -> list[Tip]:
    """List all that a figure's marks tell."""
    return [tip for artist in figure.findobj() if artist in _ROLES for tip in _ROLES[artist][1]]


@contextmanager
def firstgrad_style() -> Iterator[None]:
    """Draw within the project's style, without a window."""
    import matplotlib as mpl

    with mpl.rc_context(_SETTINGS):
        yield


def save_picture(picture: Picture, folder: Path) -> tuple[Path, Path]:
    """Save a figure as PNG and SVG, named after it; return their paths."""
    paths = folder / f"{picture.name}.png", folder / f"{picture.name}.svg"
    write_picture(picture, *paths)
    return paths


def write_picture(picture: Picture, *paths: str | Path) -> None:
    """Write a figure to files that end in .png or .svg, with what it shows in words in their metadata.

    Raises StoreError as `firstgrad.store.files.write_file` does.
    """
    from firstgrad.store.files import write_file

    figure = picture.draw()
    for path in paths:
        suffix, content = Path(path).suffix, io.BytesIO()
        date = {"Date": None} if suffix == ".svg" else {}
        with firstgrad_style():
            figure.savefig(content, format=suffix[1:], metadata={"Description": picture.description} | date)
        write_file(path, content.getvalue())


def for_notebook(picture: Picture) -> Figure:
    """Draw a figure that a notebook shows by itself, whether or not pyplot is there to teach it that."""
    figure, content = picture.draw(), io.BytesIO()

    def draw() -> bytes:
        with firstgrad_style():
            figure.savefig(content, format="png")
        return content.getvalue()

    figure._repr_png_ = draw  # type: ignore[attr-defined]
    return figure


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """Turn a figure into an SVG element of a page, whose texts stay texts.

    Drawn in black on white; black becomes the text's colour, and white nothing. `name` is unique on the page: every
    id begins with it. `description` is the alternative text. What has a role has it as its class, and marks with tips
    have them as titles.
    """
    import matplotlib as mpl
    from markupsafe import Markup

    roles = {}
    for number, artist in enumerate(artist for artist in figure.findobj() if artist in _ROLES):
        artist.set_gid(f"role-{number}")
        roles[f"role-{number}"] = _ROLES[artist]
    file = io.StringIO()
    with firstgrad_style(), mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    root = ET.fromstring(file.getvalue())  # noqa: S314 - what was drawn a line above
    for element in list(root.iter()):
        element.tail = None  # line ends between shapes
        if element.tag not in {f"{_SVG}text", "title"}:
            element.text = None
        for child in list(element):
            if _plain(str(child.tag)) in _LEFT_OUT:
                element.remove(child)
        element.tag = _plain(str(element.tag))
        if element.tag == "g":
            own = element.attrib.pop("id", "")  # only shapes are referred to
            role, tips = roles.get(own, ("tick" if _TICK.fullmatch(own) else "", ()))
            element.attrib.update({"class": str(role)} if role else {})
            _add_titles(element, tips)
        element.attrib = {_plain(key): _adapt(_plain(key), value, name) for key, value in element.attrib.items()}
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": description,
        "class": "figure",
        "id": name,
    }
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree escaped every text in it


def _add_titles(group: ET.Element, tips: Sequence[Tip]) -> None:
    """Give each mark of a group its title; a mark outside of the figure isn't drawn, and then nobody knows which."""
    marks = list(group.iter(f"{_SVG}use")) or list(group.iter(f"{_SVG}path"))
    if len(marks) == len(tips):
        for mark, tip in zip(marks, tips, strict=True):
            ET.SubElement(mark, "title").text = "\n".join(map(clean_line, tip))


def _plain(name: str) -> str:
    return name.rpartition("}")[2]


def _adapt(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return re.sub(r"^#", f"#{name}-", value)
    if key == "style":
        value = _FONT.sub("", value)  # the page has one
        return value.replace(_BLACK, "currentColor").replace(f"fill: {_WHITE}", "fill: none")
    return value.replace("url(#", f"url(#{name}-")
