"""Golden files: what users saw once, and how it is compared with what they see now.

``python -m pytest tests/golden --golden-update`` writes them anew. Numbers may differ in their last digits, nothing
else may; what differs from run to run (durations, ids, dates, versions, folders) is masked before it is kept.
"""

from __future__ import annotations

import difflib
import html.parser
import json
import math
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "files"
NO_CELL = "(none)"
"""Where an object of a table has not the key that others have."""
MOST = 20
"""Differences that are shown at most."""

VOLATILE = (
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?(\+00:00|Z)?)?"), "<moment>"),
    (re.compile(r"\(till [0-9:]+\)"), "(till <moment>)"),
    (re.compile(r"\b[0-9a-f]{32,64}\b"), "<id>"),
    (re.compile(r"\bfirstgrad (version )?\d+\.\d+\.\d+\S*"), "firstgrad <version>"),
    (re.compile(r"this is a container; "), ""),
    (re.compile(r"(/[\w.+-]+)*/(pytest-of-|firstgrad-tests-)[\w./+-]+"), "<folder>"),
)


class Golden:
    """Compares what is there with what was kept under a name, or keeps it."""

    def __init__(self, *, update: bool) -> None:
        self.update = update

    def text(self, name: str, text: str, *, mask: bool = False) -> None:
        """Hold a text against the kept one, line by line."""
        lines = [line.rstrip() for line in masked(text, durations=mask).splitlines()]
        path = FOLDER / f"{name}.txt"
        if self.update:
            return write(path, "\n".join(lines) + "\n")
        kept = read(path).splitlines()
        if kept != lines:
            shown = list(difflib.unified_diff(kept, lines, f"{path.name} as kept", "now", lineterm="", n=0))
            pytest.fail("\n".join(shown[:60]), pytrace=False)
        return None

    def json(self, name: str, value: object, *, rel: float = 1e-9) -> None:
        """Hold a JSON document against the kept one; numbers to a relative tolerance."""
        digits = 2 - math.floor(math.log10(rel))
        made = json.loads(masked(json.dumps(value)))
        path = FOLDER / f"{name}.json"
        if self.update:
            return write(path, to_lines(packed(rounded(made, digits))) + "\n")
        differences = list(differ(unpacked(json.loads(read(path))), rounded(made, digits), "", rel))
        if differences:
            more = f"\n... and {len(differences) - MOST} more" if len(differences) > MOST else ""
            pytest.fail(f"{path.name}, as kept and now:\n" + "\n".join(differences[:MOST]) + more, pytrace=False)
        return None

    def numbers(self, name: str, numbers: dict[str, float | list[float]], *, rel: float = 1e-6) -> None:
        """Hold named numbers against those of a file that many tests share; others of it are left alone."""
        path = FOLDER / f"{name}.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        if self.update:
            kept = dict(sorted((known | numbers).items()))
            return write(path, to_lines(rounded(kept, 9)) + "\n")
        differences = [line for key in numbers for line in differ(known.get(key), numbers[key], key, rel)]
        if differences:
            pytest.fail(f"{path.name}, as kept and now:\n" + "\n".join(differences), pytrace=False)
        return None


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def read(path: Path) -> str:
    if not path.exists():
        pytest.fail(f"{path.name} was never kept: python -m pytest tests/golden --golden-update", pytrace=False)
    return path.read_text()


def masked(text: str, *, durations: bool = False) -> str:
    """Mask what no two runs share; with `durations`, measured times, sizes of memory and shares too."""
    for pattern, instead in VOLATILE:
        text = pattern.sub(instead, text)
    if not durations:
        return text
    text = re.sub(r"\b\d+(\.\d+)?(e-?\d+)? (ns|µs|ms|s|min|h|B|KiB|MiB|GiB)\b", "#", text)
    text = re.sub(r"-?\b\d+(\.\d+)?%", "#%", text)
    text = re.sub(r"^doubt: (the machine was busy|more than 3% of the time).*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"[─━]{2,}", "──", re.sub(r" {2,}", " ", text))


def rounded(value: object, digits: int) -> object:
    """Floats to so many significant digits, within lists and objects."""
    if isinstance(value, dict):
        return {key: rounded(inner, digits) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner, digits) for inner in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) and math.isfinite(value) else value


def flat(value: dict, prefix: str = "") -> dict:
    """An object without objects within it: their keys are joined by dots."""
    made: dict = {}
    for key, inner in value.items():
        made |= flat(inner, f"{prefix}{key}.") if isinstance(inner, dict) and inner else {prefix + key: inner}
    return made


def packed(value: object) -> object:
    """The same, each list of like objects as a table of columns and rows."""
    if isinstance(value, dict):
        return {key: packed(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) > 2 and all(isinstance(inner, dict) for inner in value):
        rows = [flat(inner) for inner in value]
        columns = list(dict.fromkeys(key for row in rows for key in row))
        if len(columns) <= 2 * min(map(len, rows)):
            return {"columns": columns, "rows": [[packed(row.get(key, NO_CELL)) for key in columns] for row in rows]}
    return [packed(inner) for inner in value]


def unpacked(value: object) -> object:
    """What `packed` was given, objects within rows flat."""
    if isinstance(value, dict) and list(value) == ["columns", "rows"]:
        pairs = (zip(value["columns"], map(unpacked, row), strict=True) for row in value["rows"])
        return [{key: cell for key, cell in row if cell != NO_CELL} for row in pairs]
    if isinstance(value, dict):
        return {key: unpacked(inner) for key, inner in value.items()}
    return [unpacked(inner) for inner in value] if isinstance(value, list) else value


def to_lines(value: object, indent: str = "", *, is_row: bool = False) -> str:
    """JSON with a line for each thing that fits into one."""
    short = json.dumps(value, ensure_ascii=False)
    if len(short) <= 120 or not isinstance(value, dict | list) or is_row:
        return short
    deeper = indent + " "
    if isinstance(value, dict):
        inner = [f"{json.dumps(key)}: {to_lines(held, deeper)}" for key, held in value.items()]
        return "{\n" + ",\n".join(deeper + line for line in inner) + "\n" + indent + "}"
    if not any(isinstance(held, dict | list) for held in value):
        return short
    return "[\n" + ",\n".join(deeper + to_lines(held, deeper, is_row=True) for held in value) + "\n" + indent + "]"


def differ(kept: object, now: object, where: str, rel: float):
    """Say each place where two documents are not the same."""
    if isinstance(kept, dict) and isinstance(now, dict):
        kept, now = flat(kept), flat(now)
        for key in [*kept, *(key for key in now if key not in kept)]:
            place = f"{where}.{key}" if where else key
            if key in kept and key in now:
                yield from differ(kept[key], now[key], place, rel)
            else:
                yield (
                    f"{place}: was {kept[key]!r:.200}, is gone"
                    if key in kept
                    else f"{place}: is new, {now[key]!r:.200}"
                )
    elif isinstance(kept, list) and isinstance(now, list):
        if len(kept) != len(now):
            yield f"{where}: had {len(kept)} items, has {len(now)}"
        for place, (one, other) in enumerate(zip(kept, now, strict=False)):
            yield from differ(one, other, f"{where}[{place}]", rel)
    elif not is_same(kept, now, rel):
        yield f"{where}: {kept!r:.300} -> {now!r:.300}"


def is_same(kept: object, now: object, rel: float) -> bool:
    if is_number(kept) and is_number(now):
        return math.isclose(kept, now, rel_tol=rel, abs_tol=1e-12) or (math.isnan(kept) and math.isnan(now))
    return kept == now and is_number(kept) == is_number(now)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class PageText(html.parser.HTMLParser):
    """The words of a page, a line a block; of a drawing only what it is said to show."""

    BLOCKS = frozenset(
        ("div", "figcaption", "figure", "h1", "h2", "h3", "h4", "li", "p", "pre", "section", "summary", "svg", "tr")
    )
    UNREAD = frozenset(("script", "style", "svg", "head"))

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.unread = 0

    def handle_starttag(self, tag, attrs):
        self.unread += tag in self.UNREAD
        given = dict(attrs)
        self.parts += ["\n"] * (tag in self.BLOCKS) + [" | "] * (tag in {"td", "th"})
        for told in ("aria-label", "alt", "title"):
            if given.get(told):
                self.parts.append(f"[{tag}: {given[told]}]")

    def handle_endtag(self, tag):
        self.unread -= tag in self.UNREAD
        self.parts += ["\n"] * (tag in self.BLOCKS)

    def handle_data(self, data):
        if not self.unread:
            self.parts.append(data)


def page_text(path: Path) -> str:
    """Read a page as its reader does."""
    reader = PageText()
    reader.feed(path.read_text())
    lines = (re.sub(r"\s+", " ", line).strip(" ") for line in "".join(reader.parts).splitlines())
    return "\n".join(line for line in lines if line.strip("| "))
