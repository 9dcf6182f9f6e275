"""Figures as SVG within a page: colours that follow its scheme, ids that no other figure has, nothing from outside."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from markupsafe import Markup

from firstgrad.show.style import firstgrad_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLACK, _WHITE = "#000000", "#ffffff"
_SVG = "{http://www.w3.org/2000/svg}"
_LEFT_OUT = {"metadata", "style"}  # both would act on the whole page or name foreign addresses


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """Turn a figure into an SVG element of a page.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Drawn in black on white; black becomes the text's colour and white nothing.
    name : str
        Unique on the page; every id begins with it.
    description : str
        The alternative text.

    Returns
    -------
    markupsafe.Markup
        Texts stay texts, escaped.
    """
    import matplotlib as mpl

    file = io.StringIO()
    with firstgrad_style(), mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    root = ET.fromstring(file.getvalue())  # noqa: S314 - what was drawn a line above
    for element in list(root.iter()):
        element.tail = None  # line ends between shapes
        if element.tag != f"{_SVG}text":
            element.text = None
        for child in list(element):
            if _plain(str(child.tag)) in _LEFT_OUT:
                element.remove(child)
        element.tag = _plain(str(element.tag))
        if element.tag == "g":
            element.attrib.pop("id", None)  # only shapes are referred to
        element.attrib = {_plain(key): _adapt(_plain(key), value, name) for key, value in element.attrib.items()}
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": description,
        "class": "figure",
        "id": name,
    }
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree escaped every text in it


def _plain(name: str) -> str:
    return name.rpartition("}")[2]


def _adapt(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return re.sub(r"^#", f"#{name}-", value)
    if key == "style":
        return value.replace(_BLACK, "currentColor").replace(f"fill: {_WHITE}", "fill: none")
    return value.replace("url(#", f"url(#{name}-")
