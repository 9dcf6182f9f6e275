"""What a model is made of: its file and what it imports from beside it; changed or not."""

from __future__ import annotations

import os

import pytest

from firstgrad.errors import SpecError
from firstgrad.sources import HELD, ModelSource, PackedModel, check_reference, read_source


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes files below the folder that it runs in."""
    monkeypatch.chdir(tmp_path)

    def write_files(files):
        for name, text in files.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write_files


def digest(reference="model.py:build", folder=None):
    return read_source(reference, folder).digest


@pytest.mark.parametrize(
    ("text", "files", "changed"),
    [
        ("import helper", {}, "helper"),
        ("from helper import x", {}, "helper"),
        ("def build():\n    import helper", {}, "helper"),
        ("import parts.deep", {"parts/deep": "from . import other"}, "parts/other"),
        ("import parts.deep", {"parts/deep": "from .other import x"}, "parts/other"),
        ("import parts.sub.deep", {"parts/sub/deep": "from ..other import x"}, "parts/other"),
        ("from parts import deep", {"parts/__init__": ""}, "parts/deep"),
        ("from parts import *", {"parts/__init__": "from .deep import x"}, "parts/deep"),
        ("import parts.deep", {"parts/deep": ""}, "parts/__init__"),
        ("import one", {"one": "import two"}, "two"),
        ("import one", {"one": "import model, two"}, "two"),
    ],
)
def test_a_change_of_what_it_imports_is_a_change(write, text, files, changed):
    write({"model": text, **files, changed: "x = 1"})
    before = digest()
    assert len(before) == 16
    write({"unrelated": "x = 1", "parts/unrelated": ""})
    assert digest() == before
    write({changed: "x = 22"})
    assert digest() != before


def test_what_a_worker_does_not_import_from_here_is_no_part_of_the_model(write):
    write({"model": "import random, pymc.math, helper", "helper": ""})
    before = digest()
    write({"random": "", "pymc/__init__": "import inner", "pymc/math": "", "inner": ""})
    assert digest() == before


def test_the_file_itself_counts_and_its_place_does_not(write, tmp_path):
    write({"model": "x = 1", "elsewhere/model": "x = 1", "elsewhere/helper": ""})
    before = digest()
    assert digest(f"{tmp_path}/elsewhere/model.py:other") == before
    assert digest(folder=tmp_path / "elsewhere") == before
    write({"model": "x = 22"})
    assert digest() != before


def test_a_module_is_found_from_the_folder(write, tmp_path):
    write({"package/models": "from package.sub import thing\nimport numpy", "package/sub/thing": "x = 1"})
    before = digest("package.models:build")
    assert before
    assert digest("package.models:build", tmp_path.parent) == ""
    write({"package/sub/thing": "x = 22"})
    assert digest("package.models:build") != before


def test_an_installed_package_is_read_only_where_the_reference_names_it(write):
    write({"model": "import hypothesis, typing, firstgrad.case"})
    before = digest()
    assert digest("rich.table:build")
    write({"hypothesis": ""})  # now it is a neighbour
    assert digest() != before


@pytest.mark.parametrize("reference", ["pose", "absent.py:build", "absent.module:build"])
@pytest.mark.usefixtures("write")
def test_what_is_not_there_has_no_digest_and_refuses_no_sample(reference):
    source = read_source(reference)
    assert source == ModelSource()
    assert source.gave("", "2025")
    assert source.gave("abc", "2025")


def test_a_file_that_is_no_python_is_read_all_the_same(write, tmp_path):
    write({"model": "import"})
    assert digest()
    (tmp_path / "model.py").write_bytes(b"\0\xff")
    assert digest()


def test_a_sample_is_of_the_source_that_it_was_measured_with(write, tmp_path):
    write({"model": "import helper", "helper": "x = 1"})
    os.utime(tmp_path / "model.py", (0, 0))
    os.utime(tmp_path / "helper.py", (86400.0, 86400.5))
    source = read_source("model.py:build")
    assert source.changed_at == "1970-01-02T00:00:00.500+00:00"
    assert source.gave(source.digest, "1970-01-01T00:00:00.000+00:00")
    assert not source.gave("another", "2030-01-01T00:00:00.000+00:00")
    # Older data has no digest: what is younger than the files is of them.
    assert source.gave("", "1970-01-02T00:00:00.500+00:00")
    assert not source.gave("", "1970-01-02T00:00:00.499+00:00")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("def build(): ...", "build"),
        ("if True:\n    from elsewhere import thing as build", "build"),
        ("import build", "build"),
        ("try:\n    build = 1\nexcept ValueError:\n    pass", "build"),
        ("build: object = partial(print)", "build"),
        ("from elsewhere import *", "build"),
        ("def __getattr__(name): ...", "build"),
        ("with open('x') as build: ...", "build"),
        ("class Maker: ...", "Maker"),
        ("def setup():\n    global build\n    build = 1\nsetup()", "build"),
        ("globals().update(build=1)", "build"),
        ("def setup():\n    vars()['build'] = 1\nsetup()", "build"),
        ("setattr(sys.modules[__name__], 'build', 1)", "build"),
        ("__getattr__, __dir__, __all__ = lazy.attach(__name__, ['build'])", "build"),
        ("a, (b, *build) = elsewhere", "build"),
        ("while (build := make()) is None: ...", "build"),
        ("makers = [build := make for make in ()]", "build"),
        ("match makers:\n    case [build, *others]: ...", "others"),
        ("match makers:\n    case {'a': 1, **build}: ...", "build"),
        ("for build in elsewhere: ...", "build"),
        ("if :", "build"),  # importing it says where
    ],
)
def test_a_name_that_may_be_there_passes(write, text, name):
    write({"model": text, "package/models": text})
    check_reference(f"model.py:{name}")
    check_reference(f"package.models:{name}")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("absent.py:build", r"no file absent\.py \(looked from /"),
        ("absent/model.py:build", r"no file absent/model\.py \(looked from [^)]*\)$"),
        ("modle.py:build", r"no file modle\.py .*\. Did you mean model\.py\?$"),
        ("absent.models:build", r"no module absent\.models \(looked"),
        ("package.absent:build", r"no module package\.absent"),
        ("model.py:build", r"model\.py has no function 'build'\. It has: another, make"),
        ("model.py:hidden", r"model\.py has no function 'hidden'.*within a function\? Then model\.py alone does"),
        ("package.models:build", r"package\.models has no function 'build'\. It has: none"),
        (f"{'9' * 5000}.py:build", r"nothing can be found under such a name \(File name too long\): 99"),
        (f"{'9' * 5000}.x:build", r"nothing can be found under such a name"),
    ],
)
def test_what_is_not_there_is_wrong_use(write, reference, message):
    write(
        {
            "model": "import numpy\ndef make():\n    hidden = 1\ndef another(): ...\nclass _Own: ...",
            "package/models": "x = 1",
        }
    )
    with pytest.raises(SpecError, match=f"MODEL: {message}"):
        check_reference(reference)


def test_a_script_that_makes_several_models_is_wrong_use_without_a_name(write):
    text = """
def build(n):
    with pm.Model() as model: ...
    return model

with pm.Model(coords={}) as first:
    with pm.Model(name="part"): ...
if __name__ == "__main__":
    second = build(2)
"""
    write({"one": text.partition("if ")[0], "two": text, "same": "m = pm.Model()\nm = pm.Model()", "broken": "if :"})
    for reference in ("one.py", "two.py:second", "two.py:build", "broken.py"):
        check_reference(reference)
    with pytest.raises(
        SpecError, match=r"two\.py makes 2 models\. Name one: two\.py:first \(line 6\), two\.py:second \(line 9"
    ):
        check_reference("two.py")
    with pytest.raises(SpecError, match=r"same\.py makes 2 models"):
        check_reference("same.py")


def test_a_live_model_is_there_as_long_as_it_is_held(monkeypatch):
    assert read_source("live:mine").digest == ""
    with pytest.raises(SpecError, match="live:mine was a live model of a Python process"):
        check_reference("live:mine")
    monkeypatch.setitem(HELD, "live:mine", PackedModel(digest="12ab", content=b""))
    check_reference("live:mine")
    assert read_source("live:mine").digest == "12ab"


def test_a_module_that_its_package_may_find_elsewhere_passes(write):
    write({"package/__init__": "__path__ = [*__path__, '/elsewhere']"})
    check_reference("package.models:build")


@pytest.mark.parametrize(
    "text", ["def make():\n    def build(): ...", "class Maker:\n    build = 3", "m.build = 3", "x = 'build'"]
)
def test_a_name_that_is_bound_elsewhere_is_not_the_modules(write, text):
    write({"model": text})
    with pytest.raises(SpecError, match=r"model\.py has no function 'build'"):
        check_reference("model.py:build")


@pytest.mark.parametrize("reference", ["pose", "math:sqrt", "itertools:chain", "importlib.util:find_spec"])
def test_what_needs_no_file_or_is_installed_passes(reference):
    check_reference(reference)
