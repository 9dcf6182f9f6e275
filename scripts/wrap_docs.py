"""Wrap the prose of every Markdown page at 120 columns: ``python scripts/wrap_docs.py [--check]``.

Code, tables, headings and what scripts write between two markers stay as they are; no code span is broken.
mdformat would do the same, but it rewrites generated tables, escapes brackets and cannot leave a part alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

WIDTH = 120
_BLOCK = re.compile(
    r"^(?:<!-- (\S+): begin.*\n(?:.*\n)*?<!-- \1: end -->"
    r"|( *)(```+|\$\$).*\n(?:.*\n)*?\2\3"
    r"|(?<=\n\n) {4,}\S.*(?:\n {4,}\S.*)*)$",
    re.MULTILINE,
)
"""What a script made, fenced code and formulas, indented code."""
_KEPT = re.compile(r"\s*(?:[|#<>]|:::|\$\$|\[[^]]+\]: |!\[[^]]*\]\([^)]*\)$|$)")
"""Beginnings of lines that are no prose."""
_ITEM = re.compile(r" *(?:(?:[-*+]|\d+\.) +)?")
_UNBROKEN = re.compile(r"(`+)[^`].*?\1| (?=(?:[-+*#>|=]+|\d+\.)(?: |$))")
"""Code, and the blank before what would begin a list or a heading if it began a line."""


def wrap_page(text: str) -> str:
    """Return the page with each paragraph and list item wrapped anew."""
    pieces: list[str] = []
    place = 0
    for block in _BLOCK.finditer(text):
        pieces += [_wrap_prose(text[place : block.start()]), block[0]]
        place = block.end()
    return "".join([*pieces, _wrap_prose(text[place:])])


def _wrap_prose(text: str) -> str:
    paragraphs: list[list[str]] = []
    is_open = False
    for line in text.split("\n"):
        if is_open and not _KEPT.match(line) and not _ITEM.match(line)[0].strip():  # type: ignore[index]
            paragraphs[-1].append(line)
        else:
            paragraphs.append([line])
        is_open = not _KEPT.match(line)
    return "\n".join(lines[0] if _KEPT.match(lines[0]) else _wrapped(lines) for lines in paragraphs)


def _wrapped(lines: list[str]) -> str:
    first = _ITEM.match(lines[0])[0]  # type: ignore[index]
    text = " ".join(line.strip() for line in [lines[0][len(first) :], *lines[1:]])
    text = _UNBROKEN.sub(lambda match: match[0].replace(" ", "\0"), text)
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    ).replace("\0", " ")


def main(arguments: list[str]) -> None:
    """Wrap the pages that Git knows, or with ``--check`` exit with the names of those that are not wrapped."""
    listed = subprocess.run(["git", "ls-files", "*.md"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    pages = {path: path.read_text() for path in map(Path, listed.split())}
    changed = {path: wrapped for path, text in pages.items() if (wrapped := wrap_page(text)) != text}
    if "--check" in arguments and changed:
        sys.exit(f"prose does not wrap at {WIDTH} columns, run `make format`: {', '.join(map(str, changed))}")
    for path, wrapped in changed.items():
        path.write_text(wrapped)


if __name__ == "__main__":
    main(sys.argv[1:])
