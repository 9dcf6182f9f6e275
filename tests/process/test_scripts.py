"""Scripts as people have them, run as far as their model exists: one process for all of them."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from builders import firstgrad

pytestmark = pytest.mark.compiles

HEAD = "import pymc as pm\n"
SCRIPTS = {
    # What is read beside it, what was sampled before, and a model that grows in a later block.
    "study.py:model": """
        from __future__ import annotations
        import pymc as pm
        import sys
        from pathlib import Path
        assert __name__ == "__main__" and sys.argv == [__file__]
        heights = [float(line) for line in Path(__file__).with_name("heights.txt").read_text().split()]
        with pm.Model() as first:
            level = pm.Normal("level")
        guess = pm.sample_prior_predictive(draws=2, model=first)
        with pm.Model(coords={"child": range(len(heights))}) as model:
            mean = pm.Normal("mean", float(guess.prior["level"].mean()))
        with model:
            pm.Normal("height", mean, observed=heights, dims="child")
        print(model)
        idata = pm.sample(model=model)
        raise RuntimeError("it went on")
        """,
    "within.py": """
        with pm.Model() as model:
            rate = pm.HalfNormal("rate")
            idata = pm.sample()
            pm.Deterministic("after", rate)
        """,
    "main.py": """
        def main():
            with pm.Model():
                scale = pm.HalfNormal("scale")
                pm.Normal("gain", 0, scale, observed=[1.0, 2.0])
                pm.fit(n=10)
            raise RuntimeError("it went on")

        if __name__ == "__main__":
            main()
        """,
    "guarded.py:model": """
        if __name__ == "__main__":
            with pm.Model() as model:
                slope = pm.Normal("slope")
            table = [1, 2, 3]
            raise RuntimeError("it went on")
        """,
    "grown.py": """
        with pm.Model() as model:
            slope = pm.Normal("slope")
        unused = 1
        def extend(model):
            with model:
                pm.Normal("offset")
        extend(model)
        raise RuntimeError("it went on")
        """,
    "factory.py:make": """
        import functools
        def build(size):
            with pm.Model() as model:
                pm.Normal("weights", shape=size)
            return model
        make = functools.partial(build, 3)
        """,
    "called.py:wide": """
        def build(size):
            with pm.Model() as model:
                pm.Normal("weights", shape=size)
            return model
        narrow = build(2)
        wide = build(3)
        """,
    "compiled.py": """
        with pm.Model() as model:
            slope = pm.Normal("slope")
        logp = model.compile_logp()
        """,
    "swallowing.py": """
        with pm.Model() as model:
            slope = pm.Normal("slope")
        try:
            pm.find_MAP(model=model)
        except Exception:
            raise RuntimeError("it went on")
        """,
    "parts.py": """
        def build():
            with pm.Model() as model:
                with pm.Model(name="part") as part:
                    pm.Normal("weight")
            return model, part
        model, part = build()
        """,
    "looking.py": """
        with pm.Model() as model:
            slope = pm.Normal("slope")
        picture = no_such_drawer.model_to_graphviz(model)
        idata = pm.sample(model=model)
        """,
    "bound.py:model": """
        class Wrapper:
            backend = None
            def build(self):
                with pm.Model() as self.model:
                    pm.Normal("slope")
            def fit(self):
                self.build()
                self.backend = type("Backend", (), {"model": self.model})
                with self.model:
                    pm.sample()
                raise RuntimeError("it went on")
        model = Wrapper()
        model.fit()
        """,
    "looped.py": """
        models = []
        for size in (2, 3):
            with pm.Model() as model:
                pm.Normal("weights", shape=size)
            models.append(model)
        first = models[0]
        """,
    "none.py": "def build():\n    return pm.Model()\n",
    "broken.py": "values = [1]\nvalues[3]\nmodel = pm.Model()\n",
    "lost.py": 'open("not-there.csv")\n',
    "number.py:model": "model = 3\n",
    "wrapped.py:model": """
        from types import SimpleNamespace
        with pm.Model() as inner:
            slope = pm.Normal("slope")
        model = SimpleNamespace(backend=SimpleNamespace(model=inner))
        """,
    "leaving.py:model": "import sys\nsys.exit(3)\nmodel = pm.Model()\n",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "heights.txt").write_text("1.2\n1.4\n")
    for name, text in SCRIPTS.items():
        (folder / name.partition(":")[0]).write_text(
            HEAD * ("import pymc" not in text) + textwrap.dedent(text).lstrip()
        )
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("scripts_asked.py"), *(str(folder / name) for name in SCRIPTS)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "variables", "note"),
    [
        (
            "study.py:model",
            ["mean", "height"],
            "study.py was run up to pm.sample in line 15; that call and what follows it",
        ),
        ("within.py", ["rate"], "within.py was run up to pm.sample in line 4"),
        ("main.py", ["scale", "gain"], "main.py was run up to pm.fit in line 6"),
        ("guarded.py:model", ["slope"], "guarded.py was run up to line 5"),
        ("grown.py", ["slope", "offset"], "grown.py was run up to line 9"),
        ("factory.py:make", ["weights"], ""),
        ("called.py:wide", ["weights"], "called.py was run to its end"),
        ("compiled.py", ["slope"], "compiled.py was run up to Model.compile_logp in line 4"),
        ("parts.py", ["part::weight"], "parts.py was run to its end"),
        (
            "looking.py",
            ["slope"],
            "Line 4 raised NameError and was passed over. looking.py was run up to pm.sample in line 5",
        ),
        ("swallowing.py", ["slope"], "swallowing.py was run up to pm.find_MAP in line 5"),
    ],
)
def test_a_script_is_run_as_far_as_its_model_exists(answers, name, variables, note):
    answer = answers[name]
    assert answer.get("names") == variables, answer
    assert note in answer["note"]
    assert bool(answer["note"]) is bool(note)


def test_what_was_sampled_before_the_model_is_said(answers):
    before = "pm.sample_prior_predictive in line 9 came before the model, and was run. "
    assert answers["study.py:model"]["note"].startswith(before)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("looped.py", "looped.py makes 2 models. Name one: looped.py:model"),
        ("none.py", "none.py was run, and makes no model. Does one of its functions? Name it: none.py:build"),
        ("broken.py", "broken.py, line 3, before the model was complete: IndexError: list index out of range"),
        ("lost.py", "FileNotFoundError: [Errno 2] No such file or directory: 'not-there.csv'. It was looked for in /"),
        ("number.py:model", "number.py:model is a int, not a pm.Model"),
        ("wrapped.py:model", "is a SimpleNamespace, not a pm.Model. Its PyMC model is its .backend.model: give that"),
        ("bound.py:model", "bound.py:model is a Wrapper, not a pm.Model. Its PyMC model is its .backend.model"),
        ("leaving.py:model", "leaving.py, line 3, before the model was complete: SystemExit: 3"),
    ],
)
def test_what_is_wrong_with_a_script_is_told(answers, name, error):
    assert error in answers[name].get("error", ""), answers[name]


STAND_IN = """
class Model:
    free_RVs = ("x",)
    compile_fn = None
def build(size=1):
    return Model()
model = build()
scores = [1, 2]
raise RuntimeError("it went on")
"""


def test_the_command_line_tells_how_far_a_script_was_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.py").write_text(STAND_IN)
    ended = firstgrad("measure", "study.py", "--backend", "fake", "--evaluations", "0")
    assert ended.code == 0, ended
    assert "study.py was run up to line 8; that line and what follows it were not run" in ended.out
    with_parameter = firstgrad("measure", "study.py:model", "--backend", "fake", "--param", "size=3")
    assert with_parameter.code == 3
    assert "study.py:model has no parameter 'size'. It takes: no parameters" in with_parameter.out + with_parameter.err
    assert firstgrad("measure", "study.py:scores", "--backend", "fake").code == 3
    (tmp_path / "study.py").write_text(STAND_IN.replace("scores = [1, 2]", "other = build(2)"))
    several = firstgrad("measure", "study.py", "--backend", "fake")
    assert several.code == 2
    assert "study.py makes 2 models. Name one: study.py:model (line 7), study.py:other (line 8)" in several.err
