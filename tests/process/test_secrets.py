"""No secret of a store's address, nor one that found its way into PyTensor's flags, is printed or kept anywhere."""

from __future__ import annotations

import json
import os

import pytest

from builders import firstgrad, make_record, store_of
from firstgrad.errors import StoreError
from firstgrad.measuring.environment import describe_environment
from firstgrad.store import Keeper, Store, StoreAddress
from firstgrad.store.database import explained
from helpers import write_model

SECRET = "s3cr%t+w/rd".replace("/", "-")
QUOTED = "s3cr%25t%2Bw-rd"
NOBODY = "127.0.0.1:1"  # where nothing listens
ADDRESSES = [
    f"postgresql://alice:{QUOTED}@{NOBODY}/db",
    f"postgresql://{NOBODY}/db?user=alice&password={QUOTED}",
    f"postgresql://{NOBODY}/db?sslpassword={QUOTED}&passfile=%2Fhome%2F{QUOTED}",
    f"postgresql://{NOBODY}/db?pasword={QUOTED}",
    f"postgresql:/alice:{QUOTED}@{NOBODY}/db",
    f"postgresql:alice:{QUOTED}@{NOBODY}/db",
    f"alice:{QUOTED}@{NOBODY}/db",
    f"postgres://alice:{QUOTED}@{NOBODY}/db",
    f"postgresql://alice@x:{QUOTED}@{NOBODY}/db",
    f"postgresql://{NOBODY}:{QUOTED}/db",
    f"postgresql+zzz://alice:{QUOTED}@{NOBODY}/db",
    f"mysql://alice:{QUOTED}@{NOBODY}/db",
]
VERBS = {
    "measure": ("measure", "MODEL", "--backend", "fake"),
    "sweep": ("sweep", "MODEL", "--backend", "fake"),
    "advise": ("advise", "MODEL", "--backend", "fake", "--evaluations", "10"),
    "advise --no-measure": ("advise", "MODEL", "--backend", "fake", "--evaluations", "10", "--no-measure"),
    "scaling": ("scaling",),
    "compare": ("compare", "a", "b"),
    "compare --measure": ("compare", ".", ".", "MODEL", "--backend", "fake", "--samples", "1"),
    "report": ("report",),
    "export": ("export", "out.jsonl"),
    "import": ("import", "in.jsonl"),
}
FILES = {
    "export": lambda address: ("export", address),
    "import": lambda address: ("import", address),
    "report --output": lambda address: ("report", "--output", address),
    "report --from": lambda address: ("report", "--from", address),
    "scaling --from": lambda address: ("scaling", "--from", address),
}


def tells(text):
    return any(form in text for form in (SECRET, QUOTED, SECRET[:-1], QUOTED[:-1]))


def names_and_texts(folder):
    """All names below a folder, and what the files hold."""
    for path in folder.rglob("*"):
        yield path.name
        if path.is_file():
            yield path.read_bytes().decode("utf-8", "replace")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's folder, with a model, a store and an export."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path, "return Model()", name="model")
    store_of([make_record()])
    assert firstgrad("export", "in.jsonl").code == 0
    return tmp_path


EACH = [("measure", address) for address in ADDRESSES]
EACH += [(verb, address) for verb in VERBS for address in (ADDRESSES[0], ADDRESSES[2], ADDRESSES[4])]


@pytest.mark.parametrize(("verb", "address"), EACH)
def test_no_verb_tells_a_secret_of_its_store(project, verb, address):
    words = ("model.py:build" if word == "MODEL" else word for word in VERBS[verb])
    code, out, err = firstgrad(*words, "--store", address)
    assert code == 2
    assert err.startswith("firstgrad: "), err
    assert "***" in err or "://..." in err
    assert not tells(out + err)
    assert not any(map(tells, names_and_texts(project)))


@pytest.mark.parametrize("address", [ADDRESSES[0], ADDRESSES[4]])
@pytest.mark.parametrize("verb", FILES)
def test_an_address_in_the_place_of_a_file_is_refused(project, verb, address):
    code, out, err = firstgrad(*FILES[verb](address))
    assert code == 2
    assert "is a database's address, and here a file is meant" in err
    assert not tells(out + err)
    assert not any(map(tells, names_and_texts(project)))


@pytest.mark.usefixtures("project")
def test_a_schedulers_address_has_no_password():
    words = ("sweep", "model.py:build", "--backend", "fake", "--scheduler", f"tcp://alice:{SECRET}@{NOBODY}")
    code, out, err = firstgrad(*words)
    assert code == 2
    assert "--scheduler: has no user and no password" in err
    assert not tells(out + err)


@pytest.mark.parametrize("address", [address for address in ADDRESSES if address.startswith("postgresql://")][:4])
def test_an_address_shows_nothing_in_any_form(address):
    made = StoreAddress.of(address)
    for text in (
        str(made),
        repr(made),
        repr(Keeper(address)),
        f"{made}",
        f"{made!r}",
        made.option,
        json.dumps(str(made)),
        repr([made]),
    ):
        assert not tells(text)
    assert "***" in made.option


def test_a_typo_is_told_with_what_would_be_right():
    for wrong in ("postgresql:/alice:secret@h/db", "postgresql:alice:secret@h/db", "alice:secret@h/db"):
        with pytest.raises(StoreError, match=r"^postgresql://alice:\*\*\*@h/db: with a slash or more missing"):
            StoreAddress.of(wrong)


@pytest.mark.parametrize("name", ["a:b.sqlite", "x@y.sqlite", "./alice:x@y", "dir:1/x@y", "~/x.sqlite", "1:2/3"])
def test_a_path_is_a_path(name):
    assert StoreAddress.of(name).path is not None


@pytest.mark.parametrize(("password", "said"), [("longpassword", "xlongpasswordx"), ("abc", "(abc)")])
def test_what_a_driver_says_is_without_the_secret(password, said):
    from sqlalchemy.exc import OperationalError

    address = StoreAddress.of(f"postgresql://alice:{password}@h/db")
    with pytest.raises(StoreError) as caught, explained(address):
        raise OperationalError("", {}, Exception(f"it fails: {said}; abcissa"))
    assert password not in str(caught.value).replace("abcissa", "")
    assert "abcissa" in str(caught.value)


# --- flags --------------------------------------------------------------------------------------------------------


def flags(text):
    return describe_environment(inherited={"PYTENSOR_FLAGS": text}).flags


@pytest.mark.parametrize(
    "text",
    [
        "",
        "floatX=float32",
        "mode=FAST_COMPILE,optimizer_excluding=fusion:inplace,linker=cvm",
        "gcc__cxxflags=-O3 -march=native,blas__ldflags=-lopenblas,cxx=/opt/bin/g++",
        "numba__cache=False,scan__allow_gc=True,openmp=True,exception_verbosity=high",
        "'gcc__cxxflags=-O3 -Wl,-z,now',optimizer_including=local_remove_all_assert",
    ],
)
def test_flags_that_matter_to_a_measurement_are_kept_as_they_are(text):
    assert flags(text) == text


def test_other_flags_are_kept_as_a_digest_that_tells_them_apart():
    kept = [flags(f"floatX=float32,token={value}") for value in (SECRET, SECRET, "another")]
    assert kept[0] == kept[1] != kept[2]
    assert kept[0].startswith("floatX=float32,#")
    for text in (
        f"gcc__cxxflags=-O2 --password={SECRET} -DKEY={SECRET}",
        f"token={SECRET}",
        SECRET,
        f"{SECRET}=1",
        f"floatX=float32,{SECRET}",
        f"'token=a,{SECRET}'",
    ):
        assert not tells(flags(text))
        assert flags(text)


def test_pytensors_files_of_settings_are_flags_too(tmp_path):
    """They act on every worker: samples under unlike files must not be pooled."""
    (tmp_path / ".pytensorrc").write_text(
        "[global]\nfloatX = float32\ntoken = " + SECRET + "\nbase_compiledir = /somewhere\n"
        "[gcc]\ncxxflags = -O3 -march=native\n[optimizer]\nexcluding = fusion\n"
    )
    (tmp_path / "other").write_text("[global]\nfloatX = float64\n")
    home = {"HOME": str(tmp_path)}

    def described(**variables):
        return describe_environment(inherited=home | variables)

    plain = described()
    assert plain.flags.startswith("floatX=float32,#")
    assert plain.flags.endswith(",gcc__cxxflags=-O3 -march=native,optimizer__excluding=fusion")
    assert not tells(plain.flags)
    assert "somewhere" not in plain.flags
    assert described(PYTENSOR_FLAGS="floatX=float64").flags.endswith(",optimizer__excluding=fusion,floatX=float64")
    assert "float32" not in described(PYTENSOR_FLAGS="floatX=float64").flags  # PyTensor puts the variable above
    assert described(PYTENSORRC=f"~/.pytensorrc{os.pathsep}{tmp_path / 'other'}").flags.startswith("floatX=float64,#")
    assert described(PYTENSORRC=str(tmp_path / "none")).flags == ""
    assert described(PYTENSORRC=str(tmp_path / "none")).conditions != plain.conditions
    (tmp_path / "other").write_text("nothing that can be read\n")
    assert described(PYTENSORRC=str(tmp_path / "other")).flags.startswith("#")


def test_a_record_of_a_run_has_no_secret_of_the_flags(project, monkeypatch):
    monkeypatch.setenv("PYTENSOR_FLAGS", f"floatX=float64,token={SECRET}")
    assert firstgrad("measure", "model.py:build", "--backend", "fake").code == 0
    with Store.open() as store:
        *_, record = store.records()
    assert record.environment.flags.startswith("floatX=float64,#")
    assert not any(map(tells, names_and_texts(project / ".firstgrad")))
    assert os.environ["PYTENSOR_FLAGS"].endswith(SECRET)  # the worker had it
