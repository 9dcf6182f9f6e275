"""The recipe for an image: the lines of its Dockerfile, run in fresh folders with an empty home and no environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import linux_only

pytestmark = [linux_only, pytest.mark.compiles]
IMAGE = Path(__file__).parents[2] / "examples" / "image"


def instructions():
    """The Dockerfile's stages: the words of each instruction, and the rest of its line."""
    text = re.sub(r"\\\n\s*", "", (IMAGE / "Dockerfile").read_text())
    lines = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    stages = []
    for word, _, rest in lines:
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages


class Stage:
    """A stage as Docker runs it, but for the system below it: a folder, and variables that are set there."""

    def __init__(self, app, build, home):
        self.app, self.build, self.out = app, build, ""
        home.mkdir()
        app.mkdir()
        self.variables = {"PATH": os.defpath, "HOME": str(home)}

    def run(self, word, rest):
        """Do one instruction."""
        rest = rest.replace("/opt/app", str(self.app))
        if word == "ENV":
            self.variables |= dict(pair.split("=", 1) for pair in rest.split())
        elif word == "COPY":
            self.copy(rest)
        elif word == "RUN" and "pip install" in rest:
            (self.app / ".venv").symlink_to(sys.prefix)  # what it would install is here already
        elif word == "RUN" and not rest.startswith("useradd"):
            self.execute(["sh", "-c", rest])
        elif word == "CMD":
            self.execute(re.findall(r'"([^"]+)"', rest))
        else:
            assert word in {"FROM", "USER", "WORKDIR", "RUN"}

    def copy(self, rest):
        *options, names = re.fullmatch(r"((?:--\S+ )*)(.+)", rest).groups()
        *sources, target = names.split()
        folder = self.build if "--from=build" in options[0] else IMAGE
        for source in sources:
            if source == "*.whl":
                continue
            path = folder / Path(source).relative_to(self.app) if source.startswith("/") else folder / source
            shutil.copy2(path, self.app / target, follow_symlinks=False)

    def execute(self, command):
        done = subprocess.run(
            command, cwd=self.app, env=self.variables, capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.out = done.stdout


def test_the_first_gradient_in_the_image_compiles_nothing(tmp_path):
    first, last = instructions()
    app, build = tmp_path / "app", tmp_path / "build"
    stage = Stage(app, build, tmp_path / "home")
    for instruction in first:
        stage.run(*instruction)
    app.rename(build)
    stage = Stage(app, build, tmp_path / "home-of-the-last")
    for instruction in last[:-1]:
        stage.run(*instruction)
    before = {path.name for path in (app / "caches").rglob("*.xla")}
    assert len(before) == 1
    assert not (app / "caches.tar.gz").exists()
    stage.run(*last[-1])
    assert stage.out == "first gradient: loaded\n"
    assert before == {path.name for path in (app / "caches").rglob("*.xla")}
