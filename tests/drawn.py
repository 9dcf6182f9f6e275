"""What a figure shows, read from its artists; and names that must stay text."""

from __future__ import annotations

from firstgrad.show.style import save_picture

HOSTILE = "$x_1$<script>\n" + "long " * 60
"""What matplotlib or a browser might read; drawn, it begins with `HOSTILE_DRAWN`."""
HOSTILE_DRAWN = r"$x_1$<script>\nlong"


def line(axes, label):
    """The one line of a label."""
    (only,) = [drawn for drawn in axes.lines if drawn.get_label() == label]
    return only


def labels(axes):
    """The labels of all lines."""
    return [drawn.get_label() for drawn in axes.lines]


def texts(axes):
    """All texts within and beside a panel, '' of arrows too."""
    return [text.get_text() for text in axes.texts]


def ticks(axes):
    """The names of the rows."""
    return [label.get_text() for label in axes.get_yticklabels()]


def widths(axes):
    """The lengths of all bars."""
    return [bar.get_width() for bar in axes.patches]


def title(axes):
    """A panel's title."""
    return axes.get_title(loc="left")


def boxes_of_texts(figure, axes, *, wanted=bool):
    """Where a panel's texts stand, those that are `wanted`."""
    figure.draw_without_rendering()
    return [text.get_window_extent() for text in axes.texts if wanted(text.get_text())]


def any_overlap(boxes):
    """Whether two of them share a place."""
    return any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])


def saves_as_text(picture, folder):
    """Whether the figure can be saved, and no name became markup."""
    _, svg = save_picture(picture, folder)
    return "<script>" not in svg.read_text()
