"""Reproducers of docs/upstream.md: whole Python that needs no firstgrad; the cheap ones print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.upstream.nutpie_wrappers import LOOPS, with_loops

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "upstream.md").read_text()
SECTIONS = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def blocks(kind: str) -> dict[str, str]:
    """Find the last block of a kind in each section, by its title."""
    block = re.compile(rf"^```{kind}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return {title: code for title, text in SECTIONS.items() for code in block.findall(text)}


BLOCKS, PRINTED = blocks("python"), blocks("text")
SHELL = blocks("sh")
"""Those that make environments of several releases, and so need the package index."""
DEAR = ("keeps a graph out", 'nuts_sampler="blackjax"')
"""Those that compile by Numba in four processes, or by JAX."""
CHEAP = [title for title in PRINTED if title not in SHELL and not any(part in title for part in DEAR)]


def test_most_sections_have_a_reproducer_and_say_what_it_printed():
    assert len(BLOCKS) >= 7
    assert PRINTED.keys() <= BLOCKS.keys() | SHELL.keys()
    assert len(CHEAP) >= 3


@pytest.mark.parametrize("title", BLOCKS)
def test_a_reproducer_is_python_without_firstgrad(title):
    compile(BLOCKS[title], title, "exec")
    assert "firstgrad" not in BLOCKS[title]


@pytest.mark.parametrize("title", SHELL)
def test_a_reproducer_of_several_releases_is_a_shell_script_without_firstgrad(title):
    subprocess.run(["sh", "-n"], input=SHELL[title], text=True, check=True)
    assert "firstgrad" not in SHELL[title]
    for script in re.findall(r"<<'END'\n(.*?)^END$", SHELL[title], re.MULTILINE | re.DOTALL):
        compile(script, title, "exec")


@pytest.mark.compiles
@pytest.mark.parametrize("title", CHEAP)
def test_a_cheap_reproducer_prints_what_the_page_says(title, tmp_path):
    flags = {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BLOCKS[title]],
        env=os.environ | flags,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == PRINTED[title]


def test_each_loop_replaces_a_line_that_stands_there_once():
    assert with_loops("".join(LOOPS)).split() == "".join(LOOPS.values()).split()
    with pytest.raises(SystemExit, match="doesn't have this line once"):
        with_loops("".join([*LOOPS, *LOOPS]))


def test_scripts_of_the_page_are_there():
    scripts = re.findall(r"benchmarks/\w+/\w+\.py", PAGE)
    assert len(scripts) >= 4
    assert all((ROOT / name).is_file() for name in scripts)
