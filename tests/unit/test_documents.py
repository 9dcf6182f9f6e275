"""What the documentation says of the command line, held against the command line."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from scripts.wrap_docs import wrap_page

from builders import firstgrad, sample, store_of
from firstgrad import __all__ as public_names

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
PAGES = ("README.md", "docs/how-to.md", "docs/tutorial.md", "docs/findings.md", "docs/upstream.md", "CONTRIBUTING.md")
OPTION = re.compile(r"--[a-z][a-z-]*")
UNTOLD = {"--help", "--version", "--install-completion", "--show-completion", "--quiet", "--verbose"}  # of all verbs


@cache
def help_of(verb: str) -> dict[str, str]:
    """Each option of a verb, or of one below it, and what its help says of it."""
    lines = firstgrad(*verb.split(), "--help").out.splitlines()
    texts: dict[str, str] = {}
    name = None
    for line in lines:
        if named := re.match(r"  (-\S.*?)(?:  |$)(.*)", line):
            name = named[1]
            texts[name] = named[2].strip()
        elif name and line.startswith(" " * 20):
            texts[name] += (" " if not texts[name].endswith("-") else "") + line.strip()
        else:
            name = None
    return {option: text for names, text in texts.items() for option in OPTION.findall(names)}


VERBS = re.findall(r"^  ([a-z]+)  ", firstgrad("--help").out, re.MULTILINE)


def test_the_help_has_every_verb_in_one_group():
    from typer.main import get_command

    from firstgrad.cli.app import app

    assert len(VERBS) == len(set(VERBS))
    assert set(VERBS) == set(get_command(app).commands)
    assert max(map(len, firstgrad("--help").out.splitlines())) <= 80


def section_of(verb: str) -> str:
    """What the reference says of a verb."""
    (text,) = re.findall(rf"^### [^\n]*`firstgrad {verb}`[^\n]*\n(.*?)(?=^###? )", REFERENCE, re.MULTILINE | re.DOTALL)
    return text


def rows_of(text: str) -> list[list[str]]:
    """Lines of tables that begin with options."""
    lines = (line for line in text.splitlines() if line.startswith("| `--"))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize("verb", VERBS)
def test_each_option_of_the_reference_is_one_of_the_verb(verb):
    named = {option for row in rows_of(section_of(verb)) for option in OPTION.findall(row[0])}
    assert named <= help_of(verb).keys()


@pytest.mark.parametrize("verb", VERBS)
def test_each_option_of_a_verb_is_in_the_reference(verb):
    told = set(OPTION.findall(section_of(verb))) | set(OPTION.findall(section_of("measure")))
    assert help_of(verb).keys() - UNTOLD <= told


@pytest.mark.parametrize("verb", VERBS)
def test_defaults_of_the_reference_are_the_helps(verb):
    """Of each row that has one option and one default: what the help says in brackets."""
    for first, default, *meaning in rows_of(section_of(verb)):
        options = OPTION.findall(first)
        said = re.search(r"\[(?:default: )?([^];\[]*)(?:;[^]]*)?\]", help_of(verb)[options[0]])
        if len(options) != 1 or not meaning or not said or not re.fullmatch(r"`?[\w./-]+`?", default):
            continue
        given = default.strip("`").replace("off", "")
        assert not given or _same(given, said[1]), f"{first}: {default} in the reference, {said[1]} in --help"


def _same(given: str, said: str) -> bool:
    try:
        return float(given) == float(said)
    except ValueError:
        return given == said or said.startswith(given) or said.endswith(given)


def commands_in(page: str) -> list[str]:
    """The command lines of a page's blocks, whole, without what a shell would do with them."""
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^ *```(?:console|sh|bash|shell)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    calls = (re.search(r"(?:^|[ /])firstgrad (.*)", line.partition("  #")[0]) for line in lines)
    return [re.split(r" (?:>>?|\|\|?|&&) ", call[1])[0] for call in calls if call]


COMMANDS = {command: page for page in PAGES for command in commands_in(page)}
MENTIONED = {
    command: page for page in PAGES for command in re.findall(r"`firstgrad ([a-z][^`]*)`", (ROOT / page).read_text())
}


@pytest.mark.parametrize("command", COMMANDS | MENTIONED)
def test_each_command_of_the_pages_names_a_verb_and_its_options(command):
    verb, *words = shlex.split(command)
    if verb.startswith("-"):
        return
    assert verb in VERBS
    if verb == "cache":
        verb, words = f"cache {words[0]}", words[1:]
    options = {word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z].*", word) and " " not in word}
    switches = {name.replace("--", "--no-", 1) for name, text in help_of(verb).items() if "[off]" in text}
    assert options <= help_of(verb).keys() | switches


def test_pages_have_commands():
    assert len([command for command, page in COMMANDS.items() if page == "README.md"]) >= 10
    assert len([command for command, page in COMMANDS.items() if page == "docs/how-to.md"]) >= 50


CHEAP = [
    command
    for command in COMMANDS
    if command.split()[0] in {"measure", "check", "export", "import", "doctor", "report", "scaling"}
    and not re.search(r"postgresql:|--from|NAME|FILE|MODEL|commit|HEAD|--axis|--device|suite|/", command)
    and len(command.split()) > 1
]
LABELS = ("first", "first", "before", "after", "nightly")
MODEL = """
import types
def build(n: int = 3):
    return types.SimpleNamespace(free_RVs=("x",), compile_fn=None)
"""


@pytest.mark.parametrize("command", CHEAP)
def test_cheap_commands_of_the_pages_run(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mymodel.py").write_text(MODEL)
    (tmp_path / "study.py").write_text(f"{MODEL}model = build()\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.py").write_text(MODEL.replace("):", ") -> 'pm.Model':"))
    store_of(sample(1.0 + number, number=number, label=label) for number, label in enumerate(LABELS))
    verb, *words = shlex.split(command)
    if verb == "import":
        firstgrad("export", words[0])
    if "--backend" in words:
        words[words.index("--backend") + 1] = "fake"
    elif verb in {"measure", "check"}:
        words += ["--backend", "fake"]
    if "pose" in words:
        words += ["--timesteps", "3", "--directions", "1"]
    ended = firstgrad(verb, *words)
    may_be = {0, 1} if verb in {"measure", "check"} else {0, 3} if verb == "doctor" else {0}
    if verb == "scaling":
        may_be |= {2}  # what is stored here doesn't grow
    assert ended.code in may_be, ended


def test_the_page_of_the_python_api_has_every_public_name():
    page = (ROOT / "docs" / "api.md").read_text()
    assert sorted(re.findall(r"^\.\. auto\w+:: firstgrad\.(\w+)$", page, re.MULTILINE)) == sorted(public_names)


def test_the_citation_is_of_this_version():
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert f"version: {version[1]}\n" in (ROOT / "CITATION.cff").read_text()


def test_prose_is_wrapped_and_nothing_else():
    code = (
        f"<!-- x: begin (y) -->\n\n{'made ' * 40}\n\n<!-- x: end -->\n\n```sh\n{'code ' * 40}\n```\n| {'cell ' * 40}|\n"
    )
    assert wrap_page(code) == code
    assert wrap_page(f"- one\n  two\n- `{'three ' * 30}` - four\n") == f"- one two\n- `{'three ' * 30}` -\n  four\n"
    assert wrap_page("word " * 25 + "\n") == " ".join(["word"] * 24) + "\nword\n"


DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/lint/*.md"), *ROOT.glob("examples/**/*.md")]


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_wrap_at_one_width(page):
    assert wrap_page(page.read_text()) == page.read_text(), "make format"


LINK = re.compile(r"\]\((?!\w+:)(?P<file>[^()#\s]*)(?:#(?P<anchor>[^()\s]*))?\)")


@cache
def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub and the site give to a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in LINK.finditer(text):
        target = page.parent / link["file"] if link["file"] else page
        assert target.exists(), link[0]
        assert not link["anchor"] or target.suffix != ".md" or link["anchor"] in anchors_of(target.resolve()), link[0]
