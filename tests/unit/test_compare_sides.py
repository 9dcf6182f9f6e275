"""What a side asks to be measured: options, commits, releases, environments; errors name the side."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.case import BackendName, Case, Sampler, Scenario, Target
from firstgrad.cli.compare import DuelOptions, refuse_unused, side_case
from firstgrad.cli.options import CaseOptions, ModelOptions, read_scalar
from firstgrad.comparing import places
from firstgrad.comparing.places import SidePlace, asks_to_measure, read_side
from firstgrad.errors import SpecError
from firstgrad.model import Model
from firstgrad.pose.spec import Formulation, HmmAlgorithm, Skeleton

MODEL, CASE = ModelOptions(given={"timesteps": "7", "directions": "2"}), CaseOptions(backend=BackendName.JAX)
NAMES = st.text(string.ascii_letters + string.digits + "._/-", min_size=1, max_size=20)


def case_of(text, model=MODEL, case=CASE):
    return side_case(read_side(text), model, case)


def test_options_replace_the_common_ones_and_leave_the_rest():
    case = case_of("formulation=vectorised,backend=numba,scenario=warm")
    assert case.model.pose.formulation is Formulation.VECTORISED
    assert (case.model.pose.n_timesteps, case.model.pose.n_directions) == (7, 2)
    assert (case.backend, case.scenario) == (BackendName.NUMBA, Scenario.WARM)
    assert case_of("backend=jax") == CASE.to_case(MODEL.to_model())


@pytest.mark.parametrize("name", ["hmm_algorithm", "hmm-algorithm"])
def test_the_hmm_is_switched_on_and_off(name):
    with_hmm = ModelOptions(given={"hmm": "on", "states": "3"})
    assert case_of(f"hmm=on,{name}=tree").model.pose.hmm.algorithm is HmmAlgorithm.TREE
    assert case_of(f"{name}=tree", with_hmm).model.pose.hmm.n_states == 3
    assert case_of("hmm=off", with_hmm).model.pose.hmm is None


def test_an_option_may_hold_commas():
    model = case_of("parents=-1,0,0,skeleton=custom,directions=2").model.pose
    assert (model.skeleton, model.parents) == (Skeleton.CUSTOM, (-1, 0, 0))


def test_a_model_of_ones_own_and_its_parameters():
    case = case_of("model=new.py:build,param.n=10,param.name=a=b")
    assert case.model.reference == "new.py:build"
    assert dict(case.model.parameters) == {"n": 10, "name": "a=b"}
    own = ModelOptions(words=("old.py:build",), param=("n=3", "deep=true"))
    assert dict(case_of("param.n=4", own).model.parameters) == {"n": 4, "deep": True}
    assert case_of("model=pose", own).model.pose.n_timesteps == 100


@pytest.mark.parametrize(
    ("text", "place", "where"),
    [
        ("commit:HEAD~1", SidePlace.COMMIT, "HEAD~1"),
        ("main", SidePlace.COMMIT, "main"),
        ("pymc==6.2.0+pytensor==3.2.4", SidePlace.RELEASE, "pymc==6.2.0+pytensor==3.2.4"),
        ("release:6.2.0", SidePlace.RELEASE, "pymc==6.2.0"),
        ("numba>=0.66", SidePlace.RELEASE, "numba>=0.66"),
        ("env:/opt/v/bin/python", SidePlace.ENVIRONMENT, "/opt/v/bin/python"),
        (".", SidePlace.HERE, ""),
        ("backend=c", SidePlace.HERE, ""),
    ],
)
def test_where_a_side_is_measured_with_options_after_it(text, place, where):
    request = read_side(text)
    assert (request.place, request.where) == (place, where)
    assert asks_to_measure(text) is (text != "main")
    further = read_side(f"{text},target=logp_dlogp")
    assert (further.place, further.where) == (place, where)
    assert side_case(further, MODEL, CASE).target == "logp_dlogp"


def test_packages_of_a_release_are_taken_apart_and_local_versions_kept_whole():
    assert read_side("pymc==6.2.0+jax==0.11.0+numba").requirements == ("pymc==6.2.0", "jax==0.11.0", "numba")
    assert read_side("pymc==6.2.0+1").requirements == ("pymc==6.2.0+1",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        (",backend=c", "empty"),
        ("colour=red", "'colour' is no option of a case. There are backend,"),
        ("label=mine", "'label' is no option"),
        ("backend=julia", "'julia'"),
        ("hmm=maybe", "one of off, on"),
        ("hmm_algorithm=tree", "need --hmm"),
        ("param.n=3", "the pose model has no 'n'"),
        ("main,jax", "such as backend=jax, got 'jax'"),
        ("commit:", "after commit:"),
        ("pymc==", "no requirement"),
        ("pymc==6.2.0+numpy=2", "no requirement"),
        ("model=a.py:b,model=c.py:d", "expected one model"),
        ("timesteps=many", "many"),
    ],
)
def test_an_error_names_the_side_and_what_is_wrong(text, said):
    with pytest.raises(SpecError) as raised:
        case_of(text)
    assert str(raised.value).startswith(f"side {text!r}: ")
    assert said in str(raised.value)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_by_name(text):
    known = {f"side {text!r}", text}
    try:
        said = read_side(text).text
    except SpecError as error:
        said = error.field
    assert said in known


@given(st.sampled_from(["commit:{}", "release:1+{}x", "env:{}", "param.x={}", "pymc==1,param.y={}"]), NAMES)
def test_a_name_for_labels_never_asks_to_be_measured(form, name):
    text = form.format(name)
    try:
        short = read_side(text).short_name
    except SpecError:
        return
    assert short
    assert not asks_to_measure(f"{short}@today")
    assert not set(short) & set(" =,:/@\"'$")


def test_options_of_the_case_are_refused_where_nothing_is_measured():
    refuse_unused(ModelOptions(), CaseOptions(), DuelOptions())
    for given_options, name in [
        ((MODEL, CaseOptions(), DuelOptions()), "--timesteps"),
        ((ModelOptions(words=("a.py:b",)), CaseOptions(), DuelOptions()), "MODEL"),
        ((ModelOptions(), CASE, DuelOptions()), "--backend"),
        ((ModelOptions(), CaseOptions(), DuelOptions(until_decided=True)), "--until-decided"),
    ]:
        with pytest.raises(SpecError, match=f"^{name}: "):
            refuse_unused(*given_options)


@pytest.mark.parametrize(
    ("asked", "needs"),
    [
        ({"backend": BackendName.JAX}, ("pymc", "jax")),
        (
            {"backend": BackendName.JAX, "target": Target.FIRST_DRAW, "sampler": Sampler.NUMPYRO},
            ("pymc", "jax", "numpyro"),
        ),
        ({"backend": BackendName.C, "target": Target.FIRST_DRAW, "sampler": Sampler.PYMC}, ("pymc",)),
        ({"backend": BackendName.NUMBA, "target": Target.FIRST_DRAW}, ("pymc", "numba", "nutpie")),
        ({"backend": BackendName.FAKE, "target": Target.FIRST_DRAW}, ()),
    ],
)
def test_environments_have_whoever_draws(monkeypatch, asked, needs):
    installed = {"nutpie": "0.16.11"}
    monkeypatch.setattr(places, "installed_version", lambda name: installed.get(name, ""))
    case = Case(model=Model(reference="m.py:build"), **asked)
    assert places.needs_of([case], ("worker",)) == places.needs_of([case, case], ("worker",)) == ("worker", *needs)
    installed.clear()  # where nobody is named, as here
    if case.sampler is Sampler.AUTO:
        needs = tuple(name for name in needs if name != "nutpie")
    assert places.needs_of([case], ()) == needs


@pytest.mark.parametrize(
    ("text", "value"),
    [("True", True), ("False", False), ("false", False), ("3", 3), ("Falsehood", "Falsehood"), ("[1]", "[1]")],
)
def test_a_parameter_is_read_as_it_is_shown(text, value):
    assert read_scalar(text) == value
    assert isinstance(read_scalar(text), type(value))
