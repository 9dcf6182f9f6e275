"""Functions that are kept for the next process: taken where they are safe and true, and else made, with the reason."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import jax
import kept_models
import numpy as np
import pymc as pm
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import firstgrad
from firstgrad.errors import ModelError, SpecError
from firstgrad.fast.digest import Digest
from firstgrad.fast.kept import Entry, Made
from firstgrad.fast.ways import Differentiable
from firstgrad.fast.xla import require_jax

HERE = Path(__file__).parent
ONE, OTHER = Digest(text="1" * 64), Digest(text="2" * 64)
ARGUMENTS = np.arange(3.0), np.float64(2.0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of the user's own, that is used."""
    monkeypatch.delenv("FIRSTGRAD_CACHE")
    monkeypatch.setenv("FIRSTGRAD_CACHE_DIR", str(tmp_path / "functions"))
    return tmp_path / "functions"


@pytest.fixture(scope="module")
def made():
    require_jax()
    lowered = jax.jit(lambda x, y: ((x * y).sum(), x + y), keep_unused=True).lower(*ARGUMENTS)
    return Made(compiled=lowered.compile(), arguments=ARGUMENTS, facts={"names": ("a", "b"), "way": "jax"})


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_made_is_loaded_and_gives_the_same(folder, made):
    entry = Entry(ONE, "sum")
    assert entry.load() is None
    first = entry.keep(made)
    assert first.kept == "made and kept"
    assert files(folder) == [f"{ONE.text}-sum.xla"]
    assert folder.stat().st_mode & 0o777 == 0o700
    second = Entry(ONE, "sum").load()
    assert second.kept == "loaded"
    assert second.facts == first.facts == {"names": ["a", "b"], "way": "jax"}
    other = np.array([0.1, -7.0, 1e300]), np.float64(0.3)
    for at in (ARGUMENTS, other):
        for one, two in zip(made.compiled(*at), second.call(*at), strict=True):
            assert np.asarray(one).tobytes() == np.asarray(two).tobytes()
    assert all(one.tobytes() == two.tobytes() for one, two in zip(second.arguments, ARGUMENTS, strict=True))
    assert Entry(OTHER, "sum").load() is None
    assert Entry(ONE, "product").load() is None


@pytest.mark.usefixtures("folder")
def test_a_loaded_function_takes_nothing_but_what_it_was_made_for(made):
    Entry(ONE, "sum").keep(made)
    call = Entry(ONE, "sum").load().call
    for wrong in (np.arange(4.0), np.arange(3), np.arange(3.0).reshape(3, 1)):  # of the same bytes, the last two
        with pytest.raises(TypeError, match="takes"):
            call(wrong, ARGUMENTS[1])
    assert float(call(*ARGUMENTS)[0]) == 6.0


@pytest.mark.usefixtures("folder")
def test_facts_alone_are_kept_too():
    Entry(ONE, "way").keep(Made(compiled=None, facts={"way": "numba"}))
    assert Entry(ONE, "way").load().facts == {"way": "numba"}


@pytest.mark.parametrize("word", ["0", "off", "No"])
def test_it_can_be_switched_off(folder, made, monkeypatch, word):
    monkeypatch.setenv("FIRSTGRAD_CACHE", word)
    entry = Entry(ONE, "sum")
    assert entry.load() is None
    assert entry.keep(made).kept == "not kept: FIRSTGRAD_CACHE switches it off"
    assert not folder.exists()


def test_without_a_digest_nothing_is_kept(folder, made):
    entry = Entry(Digest(reason="Own is code of your own"), "sum")
    assert entry.load() is None
    assert entry.keep(made).kept == "not kept: Own is code of your own"
    assert not folder.exists()


def test_what_says_that_it_must_not_be_kept_is_not(folder):
    assert Entry(ONE, "sum").keep(Made(compiled=None, reason="it draws")).kept == "not kept: it draws"
    assert not folder.exists()


# --- the folder


def open_to_others(folder, _):
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)


def writable_by_the_group(folder, _):
    folder.mkdir(mode=0o700)
    folder.chmod(0o720)


def a_link(folder, _):
    real = folder.with_name("real")
    real.mkdir(mode=0o700)
    folder.symlink_to(real)


def a_file(folder, _):
    folder.write_text("")


def of_another_user(folder, monkeypatch):
    folder.mkdir(mode=0o700)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)


def no_whole_path(folder, monkeypatch):
    monkeypatch.setenv("FIRSTGRAD_CACHE_DIR", "functions")
    monkeypatch.chdir(folder.parent)


def without_a_home(_, monkeypatch):
    monkeypatch.delenv("FIRSTGRAD_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))


UNSAFE = {
    open_to_others: "is open to others: chmod 700",
    writable_by_the_group: "is open to others: chmod 700",
    a_link: "Name a folder of your own by FIRSTGRAD_CACHE_DIR",
    a_file: "Name a folder of your own by FIRSTGRAD_CACHE_DIR",
    of_another_user: "belongs to another user",
    no_whole_path: "FIRSTGRAD_CACHE_DIR is no whole path: functions",
    without_a_home: "no home. Set FIRSTGRAD_CACHE_DIR",
}


@pytest.mark.parametrize("make_unsafe", UNSAFE, ids=lambda one: one.__name__)
def test_a_folder_that_isnt_the_users_alone_isnt_used(folder, monkeypatch, make_unsafe):
    safe = Entry(ONE, "way")
    safe.keep(Made(compiled=None, facts={"way": "planted"}))
    folder.rename(folder.with_name("safe"))
    make_unsafe(folder, monkeypatch)
    with contextlib.suppress(OSError):  # a file, or no folder
        (folder / f"{ONE.text}-way.xla").write_bytes((folder.with_name("safe") / f"{ONE.text}-way.xla").read_bytes())
    before = {path: path.read_bytes() for path in folder.parent.rglob("*.xla")}
    entry = Entry(ONE, "way")
    assert entry.load() is None
    said = entry.keep(Made(compiled=None, facts={"way": "new"})).kept
    assert said.startswith("not kept: ")
    assert UNSAFE[make_unsafe] in said
    assert {path: path.read_bytes() for path in folder.parent.rglob("*.xla")} == before


def test_the_folder_is_below_the_users_cache_where_none_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("FIRSTGRAD_CACHE")
    monkeypatch.delenv("FIRSTGRAD_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Entry(ONE, "way").keep(Made(compiled=None)).kept == "made and kept"
    assert files(tmp_path / "firstgrad" / "functions") == [f"{ONE.text}-way.xla"]


def linked(path):
    path.rename(path.with_name("real"))
    path.symlink_to(path.with_name("real"))


def a_fifo(path):
    path.unlink()
    os.mkfifo(path, 0o600)


def a_folder(path):
    path.unlink()
    path.mkdir()


def writable_by_others(path):
    path.chmod(0o622)


@pytest.mark.parametrize("change", [linked, a_fifo, writable_by_others], ids=lambda one: one.__name__)
def test_a_file_that_isnt_the_users_own_is_made_anew(folder, change):
    Entry(ONE, "way").keep(Made(compiled=None, facts={"way": "before"}))
    change(folder / f"{ONE.text}-way.xla")
    entry = Entry(ONE, "way")
    assert entry.load() is None
    assert entry.keep(Made(compiled=None, facts={"way": "now"})).kept == "made and kept"
    assert Entry(ONE, "way").load().facts == {"way": "now"}


def test_a_file_that_cant_be_replaced_costs_nothing_but_the_next_start(folder):
    Entry(ONE, "way").keep(Made(compiled=None))
    a_folder(folder / f"{ONE.text}-way.xla")
    entry = Entry(ONE, "way")
    assert entry.load() is None
    assert entry.keep(Made(compiled=None)).kept.startswith("not kept: ")
    assert files(folder) == [f"{ONE.text}-way.xla"]


def test_a_full_disk_leaves_nothing_half_written(folder, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        assert Entry(ONE, "way").keep(Made(compiled=None)).kept == "not kept: No space left on device"
    assert not files(folder)


# --- files


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1), bit=st.integers(-1, 7))
def test_a_damaged_file_is_made_anew(folder, made, where, bit):
    Entry(ONE, "sum").keep(made)
    path = folder / f"{ONE.text}-sum.xla"
    content = bytearray(path.read_bytes())
    place = int(where * (len(content) - 1))
    if bit < 0:
        del content[place:]
    else:
        content[place] ^= 1 << bit
    path.write_bytes(content)
    entry = Entry(ONE, "sum")
    assert entry.load() is None
    assert entry.keep(made).kept == "made and kept; what had been kept was dropped: it is damaged"
    assert Entry(ONE, "sum").load() is not None


def resealed(path, change):
    """Change what a file holds, and its checksum with it."""
    content = path.read_bytes()
    begin = content.index(b"\n") + 1
    body = change(content[begin + 32 :])
    path.write_bytes(content[:begin] + sha256(body).digest() + body)


def test_a_function_that_gives_something_else_than_it_gave_is_dropped_with_a_note(folder, made):
    Entry(ONE, "sum").keep(made)
    path, then = folder / f"{ONE.text}-sum.xla", np.float64(6.0).tobytes()
    resealed(path, lambda body: body.replace(then, np.float64(6.0 * (1 + 1e-9)).tobytes(), 1))
    entry = Entry(ONE, "sum")
    assert entry.load() is None
    assert "was dropped: it gives other numbers than when it was made" in entry.keep(made).kept
    resealed(path, lambda body: body.replace(then, np.float64(6.0 * (1 + 1e-14)).tobytes(), 1))
    assert Entry(ONE, "sum").load() is not None  # that is rounding


def test_another_models_file_under_this_ones_name_is_dropped(folder, made):
    Entry(OTHER, "sum").keep(made)
    (folder / f"{OTHER.text}-sum.xla").rename(folder / f"{ONE.text}-sum.xla")
    entry = Entry(ONE, "sum")
    assert entry.load() is None
    assert "it is another one's" in entry.keep(made).kept


def test_what_xla_cant_load_is_dropped(folder, made):
    Entry(ONE, "sum").keep(made)
    resealed(folder / f"{ONE.text}-sum.xla", lambda body: body[:-1000])
    entry = Entry(ONE, "sum")
    assert entry.load() is None
    assert "this JAX can't load it" in entry.keep(made).kept


def test_a_function_that_jax_cant_write_is_used_and_not_kept(folder, made):
    class Compiled:
        def __call__(self, *arguments):
            return made.compiled(*arguments)

        def runtime_executable(self):
            raise NotImplementedError("not on this device")

    told = Entry(ONE, "sum").keep(Made(compiled=Compiled(), arguments=ARGUMENTS))
    assert told.kept == "not kept: this JAX can't write it (not on this device)"
    assert float(told.call(*ARGUMENTS)[0]) == 6.0
    assert not folder.exists()


@pytest.mark.usefixtures("folder")
def test_an_executable_without_some_of_its_arguments_isnt_kept():
    compiled = jax.jit(lambda x, _: (x.sum(),)).lower(*ARGUMENTS).compile()  # drops what it doesn't use
    told = Entry(ONE, "sum").keep(Made(compiled=compiled, arguments=ARGUMENTS))
    assert told.kept.startswith("not kept: it can't be called")
    assert float(told.call(*ARGUMENTS)[0]) == 3.0


@pytest.mark.usefixtures("folder")
def test_what_calls_back_into_python_is_not_kept():
    """The place that it calls is this process's own: in another one there is something else, or nothing."""

    def call(x, y):
        return (jax.pure_callback(np.sum, jax.ShapeDtypeStruct((), np.float64), x) + y,)

    compiled = jax.jit(call, keep_unused=True).lower(*ARGUMENTS).compile()
    told = Entry(ONE, "sum").keep(Made(compiled=compiled, arguments=ARGUMENTS))
    assert told.kept.startswith("not kept: it calls xla_ffi_")
    assert float(told.call(*ARGUMENTS)[0]) == 5.0
    assert Entry(ONE, "sum").load() is None


def test_what_jaxs_own_cache_had_is_tried_before_it_is_kept(folder):

    rows = np.arange(200.0).reshape(20, 10) / 200

    def make():
        def body(last, row):
            return last * jax.numpy.exp(-row).sum(), jax.numpy.cumsum(row) * last.sum() + row.mean()

        def total(rows):
            return jax.lax.scan(body, jax.numpy.ones(3), rows)[1].sum()

        lowered = jax.jit(jax.value_and_grad(total), keep_unused=True).lower(rows)
        return Made(compiled=lowered.compile(), arguments=[rows])

    for digest in (ONE, OTHER):  # the second one comes from JAX's cache where that is on
        said = Entry(digest, "scan").keep(make()).kept
        assert said == "made and kept" or "JAX's own cache had it" in said
        assert (Entry(digest, "scan").load() is not None) is (said == "made and kept")
    assert f"{ONE.text}-scan.xla" in files(folder)


# --- how much, and how many at once


def test_the_least_recently_used_go_where_room_is_short(folder, monkeypatch):
    monkeypatch.setenv("FIRSTGRAD_CACHE_SIZE", "3500")
    text = Made(compiled=None, facts={"text": "x" * 800})
    for place, name in enumerate(("a", "b", "c")):
        Entry(ONE, name).keep(text)
        os.utime(folder / f"{ONE.text}-{name}.xla", (place, place))
    (folder / ".old.half").touch()
    os.utime(folder / ".old.half", (0, 0))
    (folder / ".young.half").touch()
    (folder / "somebody's").write_text("x" * 5000)
    assert Entry(ONE, "a").load() is not None  # used now
    Entry(ONE, "d").keep(text)
    assert files(folder) == [".young.half", *(f"{ONE.text}-{name}.xla" for name in "acd"), "somebody's"]
    told = Entry(ONE, "e").keep(Made(compiled=None, facts={"text": "x" * 4000}))
    assert told.kept.startswith("not kept: it takes 4.")
    assert "FIRSTGRAD_CACHE_SIZE" in told.kept
    assert len(files(folder)) == 5


@pytest.mark.usefixtures("folder")
def test_a_bound_that_is_no_size_is_refused(monkeypatch):
    monkeypatch.setenv("FIRSTGRAD_CACHE_SIZE", "much")
    with pytest.raises(SpecError):
        Entry(ONE, "way").load()


CROWD = """
import sys
from firstgrad.fast.digest import Digest
from firstgrad.fast.kept import Entry, Made
wrong = loaded = 0
for turn in range(150):
    number = (turn * 7 + int(sys.argv[1])) % 6
    entry = Entry(Digest(text=f"{number}" * 64), "way")
    seen = entry.load()
    loaded += seen is not None
    if seen is None or turn % 5 == 0:
        kept = entry.keep(Made(compiled=None, facts={"text": f"{number}" * 3000})).kept
        wrong += not kept.startswith("made and kept")
    wrong += seen is not None and seen.facts["text"] != f"{number}" * 3000
assert "jax" not in sys.modules
print(wrong, loaded)
"""


def test_many_processes_at_once(folder):
    own = os.environ | {"FIRSTGRAD_CACHE_SIZE": "13000"}  # four of six find room
    crowd = [
        subprocess.Popen([sys.executable, "-c", CROWD, str(number)], stdout=subprocess.PIPE, text=True, env=own)
        for number in range(5)
    ]
    said = [one.communicate(timeout=90)[0].split() for one in crowd]
    assert [wrong for wrong, _ in said] == ["0"] * len(crowd)
    assert sum(int(loaded) for _, loaded in said) > 0
    assert not [name for name in files(folder) if not name.endswith(".xla")]
    assert sum((folder / name).stat().st_size for name in files(folder)) <= 13000


# --- gradients


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """What a first process said, with the folder that it filled."""
    folder = tmp_path_factory.mktemp("kept") / "functions"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FIRSTGRAD_CACHE")
        patch.setenv("FIRSTGRAD_CACHE_DIR", str(folder))
        yield folder, kept_models.answers()


@pytest.fixture
def again(filled, monkeypatch):
    monkeypatch.delenv("FIRSTGRAD_CACHE", raising=False)
    monkeypatch.setenv("FIRSTGRAD_CACHE_DIR", str(filled[0]))
    return filled[0]


@pytest.mark.compiles
def test_a_second_process_loads_and_gives_the_same_numbers(filled):
    folder, first = filled
    assert {one["kept"] for one in first.values()} == {"made and kept"}
    before = {path: path.read_bytes() for path in folder.iterdir()}
    script = [sys.executable, str(HERE / "kept_models.py")]
    done = subprocess.run(
        script, stdout=subprocess.PIPE, text=True, check=True, timeout=90, env=os.environ | {"PYTHONHASHSEED": "7"}
    )
    told = json.loads(done.stdout)
    assert told["said"] == {name: one | {"kept": "loaded"} for name, one in first.items()}
    assert told["said"]["with_a_gradient_that_jax_gets_wrong"]["way"] == "pytensor-jax"
    assert not [event for event in told["steps"] if event.startswith("/jax/core/compile")]
    assert not {"pytensor.link.jax.dispatch", "numba"} & set(told["modules"])
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.compiles
@pytest.mark.usefixtures("again")
def test_a_hit_writes_no_log_density_and_no_start_point(monkeypatch):
    def never(*_, **__):
        raise AssertionError("asked for")

    model = kept_models.of_a_loop()
    for name in ("logp", "initial_point"):
        monkeypatch.setattr(pm.Model, name, never)
    assert firstgrad.fast_gradient(model).kept == "loaded"


@pytest.mark.compiles
@pytest.mark.usefixtures("again")
def test_a_loaded_gradient_is_a_gradient_like_any():
    model = kept_models.with_a_held_value()
    gradient = firstgrad.fast_gradient(model)
    assert gradient.kept == "loaded"
    assert firstgrad.check_gradient(gradient).agrees
    before = gradient(np.array([0.5]))
    gradient.set_extra_values({"kind": np.int64(1)})
    assert gradient(np.array([0.5]))[0] != before[0]
    at = {"kind": np.int64(1), "mu": np.float64(0.5)}
    held = firstgrad.fast_gradient(model, initial_point=at)
    assert held.kept == "loaded"
    assert held(np.array([0.5]))[0] == gradient(np.array([0.5]))[0]
    gradient.improve("full")
    assert gradient(np.array([0.5]))[0] == pytest.approx(held(np.array([0.5]))[0], rel=1e-12)
    with pytest.raises(ModelError, match="initial_point lacks"):
        firstgrad.fast_gradient(model, initial_point={})


@pytest.mark.compiles
@pytest.mark.usefixtures("again")
def test_new_data_another_effort_and_no_log_density_are_other_functions():
    model = kept_models.of_a_loop()
    before = firstgrad.fast_gradient(model)
    with model:
        pm.set_data({"data": [0.1, 0.2, 0.4]})
    changed = firstgrad.fast_gradient(model)
    vector = np.full(before.size, 0.1)
    assert changed.kept == "made and kept"
    assert changed(vector)[0] != before(vector)[0]
    with model:
        pm.set_data({"data": [0.1, 0.2, 0.3]})
    assert firstgrad.fast_gradient(model, effort="least").kept == "made and kept"
    for said in ("made and kept", "loaded"):
        alone = firstgrad.fast_gradient(model, with_logp=False)
        assert alone.kept == said
        assert np.isnan(alone(vector)[0])
        np.testing.assert_allclose(alone(vector)[1], before(vector)[1], rtol=1e-12)


@pytest.mark.compiles
@pytest.mark.usefixtures("again")
def test_where_the_loaded_one_is_not_finite_the_whole_way_says_what_is_wrong():
    model = kept_models.with_a_density_of_ones_own()
    assert firstgrad.fast_gradient(model).kept == "loaded"
    with pytest.raises(ModelError, match="the log-density is -inf at the initial point"):
        firstgrad.fast_gradient(model, initial_point={"mu": np.float64(1e200)})


@pytest.mark.compiles
@pytest.mark.usefixtures("again")
def test_held_draws_are_never_kept():
    with pm.Model() as model:
        rows = pm.Minibatch(np.arange(10.0), batch_size=3)
        pm.Normal("seen", pm.Normal("mu"), observed=rows, total_size=10)
    with pytest.warns(firstgrad.GradientNote):
        gradient = firstgrad.fast_gradient(model)
    assert gradient.kept.startswith("not kept: what the log-density draws is held")


@pytest.mark.compiles
@pytest.mark.usefixtures("again")
def test_that_jax_cant_is_remembered(monkeypatch):
    asked = []

    def no_jax(*_, **__):
        asked.append(1)
        raise NotImplementedError("no JAX conversion for this one")

    with pm.Model() as model:
        pm.Normal("alone")
    monkeypatch.setattr(Differentiable, "lower_direct", no_jax)
    monkeypatch.setattr("firstgrad.fast.gradient.is_there", lambda way: way in ("jax", "interpreter"))
    for _ in range(2):
        with pytest.warns(firstgrad.GradientNote, match="no JAX conversion"):
            gradient = firstgrad.fast_gradient(model)
        assert gradient.way == "interpreter"
        assert gradient.kept.startswith("not kept: what interpreter compiles")
        assert asked == [1]
