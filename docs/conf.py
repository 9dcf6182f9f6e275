"""The site, made by Sphinx of the pages beside this file: ``make docs``.

What pages link to outside of this folder (figures, examples, the suites' code) is turned into files of the site.
"""

from __future__ import annotations

import os
import re
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "notebooks" / "slow_to_fast.ipynb"
MADE = Path(__file__).parent / "_made"
"""What is made here at each build, and ignored by Git."""

project, author, version = "firstgrad", "The firstgrad developers", version_of("firstgrad")
copyright = f"2026, {author}"  # noqa: A001 - Sphinx's name
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["data", "_site"]
nitpicky = False
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
nb_execution_mode = "force" if os.environ.get("FIRSTGRAD_DOCS_EXECUTE") else "off"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
autodoc_typehints = "none"  # the docstrings' sections have them
napoleon_google_docstring = False
html_theme = "furo"
html_title = "firstgrad"
html_show_sourcelink = html_copy_source = False
smartquotes = False  # they make a dash of --hmm's two hyphens

LINK = re.compile(r"\]\((?P<target>\.\./[^()#\s]+)(?:#[^()\s]*)?\)")


def turn_links(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn links that leave this folder into downloads; what isn't a file, into text."""
    folder = (Path(__file__).parent / docname).parent

    def turned(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(folder / match["target"]))
        if path == NOTEBOOK:
            return f"](/_made/{NOTEBOOK.name})"
        is_within = path.is_relative_to(Path(__file__).parent) and "data" not in path.parts
        if is_within or path.suffix == ".png":
            return match[0]
        return "]{.path}" if not path.is_file() else match[0]

    source[0] = LINK.sub(turned, source[0])
    if docname == "lint/README":  # elsewhere its table is the list
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n*-*\n```\n"


def write_made(_app: Sphinx) -> None:
    """Write the notebook's copy and the page of options, which are made of the repository's other folders."""
    MADE.mkdir(exist_ok=True)
    (MADE / NOTEBOOK.name).write_text(NOTEBOOK.read_text())
    (MADE / "options.md").write_text(options_page())


def options_page() -> str:
    """Write usage, arguments and options of every verb, as ``--help`` has them."""
    import typer
    from typer.main import get_command

    from firstgrad.cli.app import app

    command: Any = get_command(app)
    context = typer.Context(command, info_name="firstgrad")
    parts = ["# Options of each verb\n\nWhat `--help` says: this page is made from the code.\n"]
    for name in command.list_commands(context):
        verb = command.get_command(context, name)
        within = typer.Context(verb, info_name=name, parent=context)
        rows = [record for one in verb.get_params(within) if (record := one.get_help_record(within))]
        lines = "\n".join(f"| `{_cell(named)}` | {_cell(says).replace('<', '&lt;')} |" for named, says in rows)
        parts.append(f"## `firstgrad {name}`\n\n{verb.help}\n\n| option | |\n| --- | --- |\n{lines}\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def setup(app: Sphinx) -> None:
    """Connect both to Sphinx."""
    app.connect("builder-inited", write_made)
    app.connect("source-read", turn_links)
