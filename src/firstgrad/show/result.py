"""The one renderer: a verb computes a `Result`, which becomes terminal text, Markdown, JSON or HTML here.

A result is a few parts (`Heading`, `Text`, `Items`, `Facts`, `Verbatim`, `Table`, `Picture`, `Fold`) and the document
that ``--json`` writes. Each part knows its three forms. Texts are texts: markup of Rich, Markdown or HTML in a name is
shown, never obeyed.
"""

# ruff: noqa: ARG002, D102 - `Part` says what its methods take and return, once for all parts
from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from firstgrad.units import clean, clean_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from matplotlib.figure import Figure
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

NARROW = 110
"""Columns of a terminal: below it, tables that have a narrow form take it."""

LOG_WIDTH = 140
"""Columns where there is no terminal to ask: tables in a log keep their lines."""


class Form(StrEnum):
    """What a result can become."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    JSON = "json"
    HTML = "html"


class Style(StrEnum):
    """What a text means; the values are Rich's, the names in small letters are classes in HTML."""

    PLAIN = ""
    BOLD = "bold"
    DIM = "dim"
    GOOD = "green"
    DOUBT = "yellow"
    NOTABLE = "magenta"
    BAD = "bold red"
    BANNER = "bold reverse"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text."""

    text: str
    style: Style = Style.PLAIN
    is_verbatim: bool = False
    """A name, path or message that is not ours: Markdown and HTML write it as code, in which nothing is read."""
    link: str = ""  # on a page: where it leads, such as ``#doubts``
    number: str = ""  # on a page: what its cell is sorted by


type Inline = str | Span | tuple[str | Span, ...]
"""A text, a stretch of it with a style, or several after each other."""


class Part(Protocol):
    """A piece of a result, which knows its forms."""

    def to_terminal(self, width: int) -> Iterator[RichText | RichTable]:
        """Yield what Rich prints: texts, which are never wrapped, and tables."""

    def to_markdown(self) -> str:
        """Return GitHub's Markdown, without a line break at its end; '' where there is nothing."""

    def to_html(self) -> str:
        """Return an element of a page; '' where there is nothing."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The name of what follows: a bold line on a terminal."""

    text: Inline
    level: int = 3

    def to_terminal(self, width: int) -> Iterator[RichText]:
        yield _rich_text(self.text, Style.BOLD)

    def to_markdown(self) -> str:
        return f"{'#' * self.level} {_markdown_text(self.text)}"

    def to_html(self) -> str:
        return f"<h{self.level}>{_html_text(self.text)}</h{self.level}>"


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence: a paragraph of its own, never cut nor wrapped."""

    text: Inline
    style: Style = Style.PLAIN

    def to_terminal(self, width: int) -> Iterator[RichText]:
        yield _rich_text(self.text, self.style)

    def to_markdown(self) -> str:
        return _markdown_text(self.text, self.style)

    def to_html(self) -> str:
        return f"<p{_html_class(self.style)}>{_html_text(self.text)}</p>" if self.text else ""


BLANK = Text("")
"""A blank line on a terminal; nothing elsewhere."""


@dataclass(frozen=True, slots=True)
class Items:
    """Sentences that stand beside each other: a line each on a terminal, elsewhere a list."""

    items: Sequence[Inline]
    style: Style = Style.PLAIN

    def to_terminal(self, width: int) -> Iterator[RichText]:
        for item in self.items:
            yield _rich_text(item, self.style)

    def to_markdown(self) -> str:
        return "\n".join(f"- {_markdown_text(item, self.style)}" for item in self.items)

    def to_html(self) -> str:
        lines = "".join(f"<li>{_html_text(item)}</li>" for item in self.items)
        return f"<ul{_html_class(self.style)}>{lines}</ul>" if lines else ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with values."""

    facts: Sequence[tuple[str, Inline]]
    width: int = 24  # of the names' column on a terminal

    def to_terminal(self, width: int) -> Iterator[RichText]:
        for name, value in self.facts:
            yield _rich_text((Span(f"{name:<{self.width}}", Style.BOLD), *_spans(value)))

    def to_markdown(self) -> str:
        return "\n".join(f"- **{_markdown_text(name)}**: {_markdown_text(value)}" for name, value in self.facts)

    def to_html(self) -> str:
        lines = "".join(f"<dt>{_html_text(name)}</dt><dd>{_html_text(value)}</dd>" for name, value in self.facts)
        return f"<dl>{lines}</dl>" if lines else ""


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Lines of something else's output, such as the end of standard error; or lines to paste, with nothing around."""

    lines: Sequence[str]
    is_to_paste: bool = False
    language: str = ""  # by which Markdown colours it

    def to_terminal(self, width: int) -> Iterator[RichText]:
        for line in self.lines:
            yield _rich_text(line, Style.BOLD) if self.is_to_paste else _rich_text(f"  | {line}", Style.DIM)

    def to_markdown(self) -> str:
        text = "\n".join(map(clean, self.lines))
        # Longer than any within.
        fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
        return f"{fence}{self.language}\n{text}\n{fence}" if self.lines else ""

    def to_html(self) -> str:
        return f"<pre>{_escape_html(chr(10).join(self.lines))}</pre>" if self.lines else ""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table."""

    name: str
    is_right: bool = False  # aligned to the right, as numbers are
    is_folded: bool = False  # too long texts go on in the next line, instead of losing their end
    is_kept: bool = False  # never narrower than its longest text
    is_filter: bool = False  # on a page: rows can be chosen by its words, where the table can be sorted
    full: str = ""  # on a page: what a short name stands for, on hover and focus


def left(*names: str, is_folded: bool = False) -> tuple[TableColumn, ...]:
    """Return columns for texts."""
    return tuple(TableColumn(name, is_folded=is_folded) for name in names)


def right(*names: str, is_kept: bool = False) -> tuple[TableColumn, ...]:
    """Return columns for numbers."""
    return tuple(TableColumn(name, is_right=True, is_kept=is_kept) for name in names)


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row that is more than its cells."""

    cells: Sequence[Inline]
    style: Style = Style.PLAIN
    """Of the whole row; Markdown, which would be all bold, keeps to the styles of single cells."""
    ends_section: bool = False
    id: str = ""  # on a page: its anchor, to which its first cell links
    details: Sequence[Part] = ()  # on a page: what opens below it, when the address names it


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under named columns."""

    columns: Sequence[TableColumn]
    rows: Sequence[TableRow | Sequence[Inline]]
    title: str = ""
    title_style: Style | None = None  # None: as Rich writes a table's title
    narrow: Table | None = None  # instead of it on a terminal of fewer than `NARROW` columns
    sorted_as: str = ""  # on a page: a name for a table that can be sorted and filtered; '' for one that can't

    def lines(self) -> Iterator[TableRow]:
        """Yield the rows, all as `TableRow`."""
        for row in self.rows:
            yield row if isinstance(row, TableRow) else TableRow(row)

    def to_terminal(self, width: int) -> Iterator[RichTable]:
        if self.narrow is not None and width < NARROW:
            yield from self.narrow.to_terminal(width)
            return
        from rich.table import Table as RichTable

        title = _rich_cell(self.title) if self.title else None
        title_style = None if self.title_style is None else str(self.title_style)
        table = RichTable(title=title, title_justify="left", title_style=title_style)
        for column in self.columns:
            table.add_column(
                _rich_cell(column.name),
                justify="right" if column.is_right else "left",
                overflow="fold" if column.is_folded else "ellipsis",
                no_wrap=column.is_kept,
            )
        for row in self.lines():
            table.add_row(*map(_rich_cell, row.cells), style=str(row.style) or None, end_section=row.ends_section)
        yield table

    def to_markdown(self) -> str:
        lines = [f"**{_markdown_text(self.title)}**\n"] if self.title else []
        lines.append(_markdown_row(column.name for column in self.columns))
        lines.append(f"| {' | '.join('---:' if column.is_right else '---' for column in self.columns)} |")
        lines += [_markdown_row(row.cells) for row in self.lines()]
        return "\n".join(lines)

    def to_html(self) -> str:
        # A box that scrolls; a body a section, each row headed by its first cell.
        caption = f"<caption>{_escape_html(self.title)}</caption>" if self.title else ""
        classes = [' class="number"' if column.is_right else "" for column in self.columns]
        names = "".join(
            f'<th scope="col"{side}{_html_full(column)}>{_escape_html(column.name)}</th>'
            for side, column in zip(classes, self.columns, strict=True)
        )
        body = "\n<tbody>"
        for row in self.lines():
            first, *others = row.cells
            cells = "".join(
                _html_cell(cell, side, is_dense=bool(self.sorted_as))
                for cell, side in zip(others, classes[1:], strict=True)
            )
            anchor = _escape_html(row.id)
            name = f'<a href="#{anchor}">{_html_text(first)}</a>' if anchor else _html_text(first)
            mark = f' id="{anchor}"' if anchor else ""
            body += f'\n<tr{mark}{_html_class(row.style)}><th scope="row">{name}</th>{cells}</tr>'
            if row.details:
                inner = parts_html(row.details)
                body += f'\n<tr class="details"><td colspan="{len(classes)}"><div>{inner}</div></td></tr>'
            body += "\n</tbody>\n<tbody>" if row.ends_section else ""
        kind = ' class="sortable"' if self.sorted_as else ""
        table = f"<table{kind}>{caption}\n<thead><tr>{names}</tr></thead>{body}\n</tbody>\n</table>"
        box = f"<div{_html_region(self.title or self.sorted_as)}>\n{table}\n</div>"
        return f'<div class="table">\n{self._filters()}\n{box}\n</div>' if self.sorted_as else box

    def _filters(self) -> str:
        """Write the controls, which stay hidden until the page's script shows them."""
        choices = []
        for number, column in enumerate(self.columns):
            if column.is_filter:
                texts = ("".join(span.text for span in _spans(row.cells[number])) for row in self.lines())
                words = {word for text in texts for word in text.replace(",", "").split() if not word.isdigit()}
                options = "".join(f"<option>{_escape_html(word)}</option>" for word in sorted(words))
                select = f'<select data-column="{number}"><option value="">all</option>{options}</select>'
                choices.append(f"<label>{_escape_html(column.name)} {select}</label>")
        search = '<label>Search <input type="search" autocomplete="off"></label>'
        shown = '<button type="button">Show all</button>\n<p class="shown" role="status" aria-live="polite"></p>'
        return "\n".join(['<div class="filters" hidden>', search, *choices, shown, "</div>"])


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure, drawn only where a form shows it."""

    draw: Callable[[], Figure]
    name: str
    description: str
    caption: str = ""
    has_numbers: bool = True  # on a page: whether a table of all that it tells is folded below it

    def to_terminal(self, width: int) -> Iterator[RichText]:
        return iter(())

    def to_markdown(self) -> str:
        return f"![{_markdown_text(self.description)}]({self.name}.png)"

    def to_html(self) -> str:
        from firstgrad.show.style import inline_svg, tips_of

        figure = self.draw()
        svg = inline_svg(figure, f"figure-{self.name}", self.description)
        tips = tips_of(figure) if self.has_numbers else ()
        numbers = Table(columns=(*left("of what", "at"), *right("value")), rows=tips)
        folds = [
            Fold("The figure in words", (Text(self.description),)),
            *([Fold("The numbers", (numbers,))] if tips else []),
        ]
        words, caption = parts_html(folds), Text(self.caption).to_html()
        region = _html_region(f"Figure: {self.name}")
        return f"<figure>\n<div{region}>{svg}</div>\n<figcaption>\n{caption}\n{words}\n</figcaption>\n</figure>"


@dataclass(frozen=True, slots=True)
class Fold:
    """Parts that a page and Markdown hide until somebody unfolds them."""

    summary: Inline
    parts: Sequence[Part]
    is_open: bool = False
    id: str = ""  # on a page: its anchor

    def to_terminal(self, width: int) -> Iterator[RichText | RichTable]:
        yield _rich_text(self.summary, Style.BOLD)
        for part in self.parts:
            yield from part.to_terminal(width)

    def to_markdown(self) -> str:
        return f"<details><summary>{_html_text(self.summary)}</summary>\n\n{_markdown(self.parts)}\n\n</details>"

    def to_html(self) -> str:
        state = f' id="{_escape_html(self.id)}"' * bool(self.id) + " open" * self.is_open
        return f"<details{state}><summary>{_html_text(self.summary)}</summary>\n{parts_html(self.parts)}\n</details>"


@dataclass(frozen=True, slots=True)
class Only:
    """Parts that one form has and the others don't."""

    form: Form
    parts: Sequence[Part]

    def to_terminal(self, width: int) -> Iterator[RichText | RichTable]:
        return (line for part in self._of(Form.TERMINAL) for line in part.to_terminal(width))

    def to_markdown(self) -> str:
        return _markdown(self._of(Form.MARKDOWN))

    def to_html(self) -> str:
        return parts_html(self._of(Form.HTML))

    def _of(self, form: Form) -> Sequence[Part]:
        return self.parts if self.form is form else ()


class JsonLines(tuple[Any, ...]):
    """A document of several, each written as a line of its own."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a verb found out."""

    parts: Sequence[Part]
    document: Any = field(default_factory=dict)  # for ``--json``: what `firstgrad.codec.to_json` takes, or `JsonLines`
    exit_code: int = 0
    is_failure: bool = False  # on a terminal it goes to standard error


def render(result: Result, form: Form, *, width: int = LOG_WIDTH) -> str:
    """Return a result as text that ends in a line break; '' where there is nothing."""
    match form:
        case Form.JSON:
            from firstgrad.codec import to_json

            documents = result.document if isinstance(result.document, JsonLines) else (result.document,)
            return "".join(f"{to_json(document)}\n" for document in documents)
        case Form.TERMINAL:
            from rich.console import Console

            file = io.StringIO()
            plain = {"force_terminal": False, "force_jupyter": False}  # a kernel would have it coloured, and displayed
            console = Console(file=file, width=width, markup=False, highlight=False, **plain)  # type: ignore[arg-type]
            print_parts(console, result.parts)
            return file.getvalue()
        case Form.MARKDOWN:
            text = _markdown(result.parts)
        case Form.HTML:
            text = parts_html(result.parts)
    return f"{text}\n" if text else ""


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that prints texts as they are.

    Without markup, since names of users' models and variables may hold brackets, and so does
    ``pip install "firstgrad[jax]"``.
    """
    from rich.console import Console

    class _Plain(Console):
        def show_cursor(self, show: bool = True) -> bool:
            """Leave it alone: a hidden one would stay hidden when this process is killed."""
            return False

    console = _Plain(stderr=stderr, markup=False, highlight=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    return console


def print_parts(console: Console, parts: Iterable[Part]) -> None:
    """Print parts on a terminal."""
    from rich.text import Text as RichText

    for part in parts:
        for line in part.to_terminal(console.width):
            console.print(line, soft_wrap=isinstance(line, RichText))


def parts_html(parts: Iterable[Part]) -> str:
    """Return the elements of a page, a line break between them."""
    return "\n".join(filter(None, (part.to_html() for part in parts)))


_NOTEBOOK_STYLE = (
    "<style>.firstgrad table{display:table;width:auto} .firstgrad td,.firstgrad th{text-align:left} "
    ".firstgrad .number{text-align:right} .firstgrad .bold{font-weight:bold} .firstgrad .dim{opacity:.7} "
    ".firstgrad .good{color:#009E73} .firstgrad .doubt{color:#B8860B} .firstgrad .notable{color:#CC79A7} "
    ".firstgrad .bad{color:#D55E00;font-weight:bold} .firstgrad dt{font-weight:bold} "
    ".firstgrad dd{white-space:pre-line}</style>"
)


def notebook_html(parts: Iterable[Part]) -> str:
    """Return parts as an element of a notebook's cell, in the notebook's own colours but for what is good or bad."""
    return f'<div class="firstgrad">{_NOTEBOOK_STYLE}\n{parts_html(parts)}\n</div>'


def _markdown(parts: Iterable[Part]) -> str:
    return "\n\n".join(filter(None, (part.to_markdown() for part in parts)))


def _spans(text: Inline) -> Iterator[Span]:
    for piece in text if isinstance(text, tuple) else (text,):
        yield Span(piece) if isinstance(piece, str) else piece


def _rich_text(text: Inline, style: Style = Style.PLAIN) -> RichText:
    from rich.text import Text as RichText

    # Further lines of what is not ours are marked, so that none passes for ours.
    pieces = [
        (clean(span.text).replace("\n", "\n  | ") if span.is_verbatim else clean(span.text), str(span.style))
        for span in _spans(text)
    ]
    return RichText.assemble(*pieces, style=str(style))


def _rich_cell(text: Inline) -> RichText:
    """Set a cell: a line break within it is a piece of its own, any other came with a name."""
    return _rich_text(
        tuple(replace(span, text=clean_line(span.text)) if span.text.strip() else span for span in _spans(text))
    )


# What GitHub's Markdown would read: `_` within a word, and a bracket that no link follows, it doesn't.
_MARKDOWN_SPECIAL = re.compile(
    r"[\\`*|]|(?<![^\W_])_|_(?![^\W_])|~(?=~)|<(?=[A-Za-z/!?])|&(?=[#\w])|(?<=\])[(\[:]"
    r"|^[#>+-](?=\s|$|[#>+-])|^=(?=[=\s]*$)"
)
_NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")
_MENTION = re.compile(r"@(?=\w)")


def _markdown_text(text: Inline, style: Style = Style.PLAIN, *, in_table: bool = False) -> str:
    """Write a text in one line; bold where its meaning is."""
    spans = list(_spans(text))
    pieces = [
        _markdown_code(span.text, in_table=in_table) if span.is_verbatim else _escape(span.text) for span in spans
    ]
    if _is_bold(style):
        return _bold("".join(pieces)).strip()
    marked = (_bold(piece) if _is_bold(span.style) else piece for piece, span in zip(pieces, spans, strict=True))
    return "".join(marked).strip()


def _is_bold(style: Style) -> bool:
    return style in {Style.BOLD, Style.BAD, Style.BANNER}


def _bold(text: str) -> str:
    """Write a text bold; white space at its ends would keep the asterisks from being read."""
    inner = text.strip()
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{before}**{inner}**{after}" if inner else text


def _escape(text: str) -> str:
    """Write a text so that nothing in it is read as Markdown, HTML or a mention."""
    one_line = re.sub(r"\s+", " ", clean(text))
    escaped = _MARKDOWN_SPECIAL.sub(lambda special: f"\\{special[0]}", one_line)
    return _MENTION.sub("@<!-- -->", _NUMBERED.sub(r"\1\\\2", escaped))


def _markdown_code(text: str, *, in_table: bool) -> str:
    one_line = " ".join(clean(text).replace("`", "'").split())
    if in_table and "|" in one_line:  # a pipe ends a table's cell within back ticks, too
        return f"<code>{_escape(one_line)}</code>"
    return f"`{one_line}`" if one_line else ""


def _markdown_row(cells: Iterable[Inline]) -> str:
    return f"| {' | '.join(_markdown_text(cell, in_table=True) for cell in cells)} |"


def _escape_html(text: str) -> str:
    return html.escape(clean(text))


def _html_class(style: Style) -> str:
    return f' class="{style.name.lower()}"' if style else ""


def _html_text(text: Inline) -> str:
    pieces = []
    for span in _spans(text):
        inner = _escape_html(span.text)
        tag = "code" if span.is_verbatim else "span" if span.style else ""
        marked = f"<{tag}{_html_class(span.style)}>{inner}</{tag}>" if tag else inner
        pieces.append(f'<a href="{_escape_html(span.link)}">{marked}</a>' if span.link and span.text else marked)
    return "".join(pieces)


_INTERVAL = re.compile(r" (\[[^][]*\])(?=$|</)")  # behind a number: it may stand in a line of its own


def _html_full(column: TableColumn) -> str:
    full = _escape_html(column.full)
    return f' data-full="{full}" aria-description="{full}"' if full else ""


def _html_region(name: str) -> str:
    """Write the attributes of a box that scrolls: with a name the keyboard reaches it, too."""
    return ' class="scroll"' + (f' tabindex="0" role="region" aria-label="{_escape_html(name)}"' if name else "")


def _html_cell(cell: Inline, side: str, *, is_dense: bool) -> str:
    number = cell.number if isinstance(cell, Span) else ""
    sort = f' data-number="{_escape_html(number)}"' if number else ""
    text = _html_text(cell)
    if side and is_dense:
        text = _INTERVAL.sub(r' <span class="interval">\1</span>', text)
    return f"<td{side}{sort}>{text}</td>"
