"""The one renderer: a result on a terminal, in Markdown, JSON and HTML."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from firstgrad.record import GroupFiniteness
from firstgrad.show.result import (
    BLANK,
    Facts,
    Fold,
    Form,
    Heading,
    Items,
    JsonLines,
    Only,
    Picture,
    Result,
    Span,
    Style,
    Table,
    TableColumn,
    TableRow,
    Text,
    Verbatim,
    left,
    render,
    right,
)

HOSTILE = "[bold red]a|b[/] <script>x</script> `c` **d** _e_ @someone [f](http://g) \x1b[31m &lt; h\\|i"
TABLE = Table(
    title="times",
    columns=(*left("phase"), *right("wall")),
    rows=[("build", "1 s"), TableRow(("link", "2 s"), ends_section=True), TableRow(("all", "3 s"), Style.BOLD)],
)
PARTS = (
    Heading("A case"),
    TABLE,
    Facts([("memory", "2 MiB")]),
    Text(("failed: ", Span("a path", is_verbatim=True)), Style.BAD),
    Items(["one", "two"], Style.DOUBT),
    Verbatim(["line 1", "line ```2"]),
    BLANK,
)


def rendered(form, *parts, **fields):
    return render(Result(parts=parts or PARTS, **fields), form)


def test_a_terminal_gets_texts_and_tables():
    lines = rendered(Form.TERMINAL).splitlines()
    assert [line.rstrip() for line in lines[:2]] == ["A case", "times"]
    assert "│ build │  1 s │" in lines
    assert lines[-7:] == [f"{'memory':<24}2 MiB", "failed: a path", "one", "two", "  | line 1", "  | line ```2", ""]


def test_markdown_is_githubs():
    assert rendered(Form.MARKDOWN) == (
        "### A case\n\n**times**\n\n"
        "| phase | wall |\n| --- | ---: |\n| build | 1 s |\n| link | 2 s |\n| all | 3 s |\n\n"
        "- **memory**: 2 MiB\n\n**failed: `a path`**\n\n- one\n- two\n\n````\nline 1\nline ```2\n````\n"
    )


def test_html_is_well_formed_with_a_body_a_section():
    page = ET.fromstring(f"<div>{rendered(Form.HTML)}</div>")  # noqa: S314 - made here
    assert [element.tag for element in page] == ["h3", "div", "dl", "p", "ul", "pre"]
    assert len(page.findall("div/table/tbody")) == 2
    assert page.find("p").attrib == {"class": "bad"}
    assert page.find("div/table/tbody[2]/tr").attrib == {"class": "bold"}
    assert page.find("div/table/thead/tr/th[2]").attrib["class"] == "number"


def test_json_is_the_document_or_a_line_each():
    record = GroupFiniteness(group="a", values=3, nan=1, infinite=0)
    assert json.loads(rendered(Form.JSON, document=record))["nan"] == 1
    assert json.loads(rendered(Form.JSON, document={"base": record, "n": 2})) == {
        "base": {"group": "a", "values": 3, "nan": 1, "infinite": 0},
        "n": 2,
    }
    assert rendered(Form.JSON, document=JsonLines([1, {"b": 2}])) == '1\n{"b":2}\n'


def test_nothing_is_nothing():
    for form in (Form.TERMINAL, Form.MARKDOWN, Form.HTML):
        assert render(Result(parts=()), form) == ""
        assert render(Result(parts=(Items([]), Facts([]), Verbatim([]))), form) == ""


def test_parts_of_one_form_are_not_in_the_others():
    parts = (Only(Form.MARKDOWN, (Text("a"), Text("b"))), Only(Form.TERMINAL, (Text("c"),)))
    assert rendered(Form.MARKDOWN, *parts) == "a\n\nb\n"
    assert rendered(Form.TERMINAL, *parts) == "c\n"
    assert rendered(Form.HTML, *parts) == ""


def test_a_narrow_terminal_gets_the_narrow_table():
    table = Table(columns=left("unit", "for"), rows=[("a", "b")], narrow=Table(columns=left("both"), rows=[("a\n b",)]))
    assert "both" in render(Result(parts=(table,)), Form.TERMINAL, width=80)
    assert "both" not in render(Result(parts=(table,)), Form.TERMINAL)
    assert "both" not in render(Result(parts=(table,)), Form.MARKDOWN)


def test_long_sentences_keep_their_line():
    sentence = "word " * 100
    assert rendered(Form.TERMINAL, Text(sentence)) == f"{sentence}\n"


@pytest.mark.parametrize("is_verbatim", [False, True])
def test_hostile_texts_are_shown_and_not_obeyed(is_verbatim):
    span = Span(HOSTILE, is_verbatim=is_verbatim)
    parts = (Heading(span), Text(span), Items([span]), Facts([(HOSTILE, span)]), Verbatim([HOSTILE]))
    parts += (Table(title=HOSTILE, columns=left(HOSTILE, "n"), rows=[(span, "1")]),)
    plain = HOSTILE.replace("\x1b", r"\x1b")
    terminal = render(Result(parts=parts), Form.TERMINAL, width=300)
    assert terminal.count(plain) == 9
    page = ET.fromstring(f"<div>{rendered(Form.HTML, *parts)}</div>")  # noqa: S314 - made here
    assert {element.tag for element in page.iter()} & {"script", "b", "a"} == set()
    assert "".join(page.itertext()).count(plain) == 9
    table = rendered(Form.MARKDOWN, parts[-1])
    for row in table.splitlines()[2:]:
        assert len(list(_unescaped_pipes(row))) == 3, row
    text = rendered(Form.MARKDOWN, Text(span))
    assert "\x1b" not in text
    if not is_verbatim:
        assert "\\<script>" in text
        assert "\\*\\*d\\*\\*" in text
        assert "@someone" not in text
        assert "](" not in text


def _unescaped_pipes(row):
    """As cmark-gfm looks for the ends of cells: a backslash takes the next character with it."""
    letters = iter(row)
    for letter in letters:
        if letter == "\\":
            next(letters)
        elif letter == "|":
            yield letter


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("time_to_first_gradient", "time_to_first_gradient"),
        ("1.100 [1.080, 1.121]", "1.100 [1.080, 1.121]"),
        ("x1.2, 3 < 4 & 5 > 2; ~1 s", "x1.2, 3 < 4 & 5 > 2; ~1 s"),
        ("# no heading", "\\# no heading"),
        ("1. no list", "1\\. no list"),
        ("- no list", "\\- no list"),
        ("a\nb", "a b"),
        ("-1.5", "-1.5"),
    ],
)
def test_plain_numbers_and_names_stay_readable_in_markdown(text, written):
    assert rendered(Form.MARKDOWN, Text(text)) == f"{written}\n"


def test_single_cells_are_bold_in_markdown_whole_rows_are_not():
    table = Table(columns=left("a", "b"), rows=[TableRow(("x", Span("slower", Style.BAD)), Style.BAD)])
    assert rendered(Form.MARKDOWN, table).splitlines()[-1] == "| x | **slower** |"


def test_what_folds_is_whole_on_a_terminal():
    fold = Fold("more", (Text("a"), Facts([("b", "c")])))
    assert rendered(Form.TERMINAL, fold).splitlines()[:2] == ["more", "a"]
    assert rendered(Form.MARKDOWN, fold) == "<details><summary>more</summary>\n\na\n\n- **b**: c\n\n</details>\n"
    assert rendered(Form.HTML, fold).startswith("<details><summary>more</summary>\n<p>a</p>")
    assert rendered(Form.HTML, Fold("more", (), is_open=True)).startswith("<details open>")


def test_a_table_to_be_sorted_has_numbers_and_hidden_controls():
    columns = (TableColumn("model"), TableColumn("status", is_filter=True), TableColumn("time", is_right=True))
    rows = [
        ("a", "2 ok, 1 failed", Span("1 s", number="1", link="#x")),
        ("b", "ok", Span("", link="#y")),  # a link that nobody could see or hear
    ]
    text = rendered(Form.HTML, Table(columns=columns, rows=rows, sorted_as="All"))
    assert '<div class="filters" hidden>' in text
    page = ET.fromstring(text.replace(" hidden>", ">").replace('autocomplete="off">', "/>"))  # noqa: S314 - made here
    select = page.find(".//select")
    assert select.attrib["data-column"] == "1"
    assert [option.text for option in select] == ["all", "failed", "ok"]
    cells = page.findall(".//tbody/tr/td")
    assert [cell.attrib.get("data-number") for cell in cells] == [None, "1", None, None]
    assert [link.attrib["href"] for link in page.findall(".//tbody/tr/td/a")] == ["#x"]


def test_a_picture_is_drawn_for_a_page_alone():
    def draw():
        from matplotlib.figure import Figure

        return Figure()

    picture = Picture(draw, "a-figure", "what it shows")
    assert rendered(Form.TERMINAL, picture) == ""
    assert rendered(Form.MARKDOWN, picture) == "![what it shows](a-figure.png)\n"
    assert 'aria-label="what it shows"' in rendered(Form.HTML, picture)


def test_lines_that_are_not_ours_pass_for_none_of_ours():
    forged = Span("odd\nfirstgrad: all is well", is_verbatim=True)
    assert rendered(Form.TERMINAL, Text(("failed: ", forged))) == "failed: odd\n  | firstgrad: all is well\n"
    table = Table(columns=left("name", "lines"), rows=[("a\n│ b\tc", ("x", "\n  ", "y"))])
    lines = rendered(Form.TERMINAL, table).splitlines()
    assert r"│ a\n│ b\tc │ x     │" in lines
    assert "│           │   y   │" in lines
