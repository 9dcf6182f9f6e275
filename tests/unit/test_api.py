"""firstgrad's functions for Python: what is asked, what is refused, what comes back. The fake backend measures."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

import firstgrad
from firstgrad.api import asked_model
from firstgrad.backends.live import pack, unpack
from firstgrad.bisecting.history import Revision
from firstgrad.bisecting.run import Bisection, Outcome
from firstgrad.case import BackendName, Case
from firstgrad.errors import ModelError, SpecError
from firstgrad.linting.finding import Finding, FindingName, Harm, LintReport
from firstgrad.model import Model
from firstgrad.observe.stacks import CodeLine
from firstgrad.pose.spec import PoseSpec
from firstgrad.results import LintResult
from firstgrad.sources import HELD
from helpers import make_case, write_model


def stand_in(name=""):
    """What is asked of a model, of a class that no worker can import."""

    class Live:
        free_RVs = ("x",)  # noqa: N815 - PyMC's name

        def __init__(self):
            self.name = name

        def compile_fn(self):
            raise NotImplementedError

    return Live()


def test_a_live_model_is_called_what_its_variable_is_called():
    mine, _hidden = stand_in(), stand_in("named")
    other = mine
    with asked_model(mine) as model, asked_model(other) as again:
        assert (model.reference, again.reference) == ("live:mine", "live:mine_2")
        assert set(HELD) == {"live:mine", "live:mine_2"}
    with asked_model(_hidden) as model:
        assert model.reference == "live:named"
    with asked_model(stand_in("no name at all")) as model:
        assert model.reference == "live:model"
    assert not HELD


@pytest.mark.parametrize("given", ["pose", PoseSpec(), Model(reference="pose")])
def test_what_names_a_model_is_taken_too(given):
    with asked_model(given) as model:
        assert model == Model(reference="pose")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, r"expected a pm\.Model, or what names one .*, got a int$"),
        (stand_in, r"got a function$"),
        (type(stand_in()), r"got a type$"),
        (
            SimpleNamespace(backend=SimpleNamespace(model=stand_in())),
            r"Its PyMC model is its \.backend\.model: give that",
        ),
        (
            SimpleNamespace(backend=None, build=print),
            r"isn't built yet: call its \.build\(\), and give \.backend\.model",
        ),
        ("no/such.py:build", r"no file no/such\.py"),
        ("nonsense", r"expected 'pose', 'path/file\.py:function'"),
        ("live:gone", r"live:gone was a live model of a Python process"),
    ],
)
def test_what_is_no_model_is_refused_with_a_way_out(given, message):
    with pytest.raises(SpecError, match=message):
        firstgrad.measure(given, backend="fake")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "fortran"}, r"backend: expected one of c, numba, .*, got 'fortran'"),
        ({"evaluation": 3}, r"evaluation: is no option\. There are backend, target"),
        ({"chains": 2}, r"--chains: is for --target first_draw"),
    ],
)
def test_options_that_there_are_not_are_named(options, message):
    with pytest.raises(SpecError, match=message):
        firstgrad.measure("pose", **options)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    store = tmp_path_factory.mktemp("measured") / "kept.sqlite"
    mine = stand_in()
    result = firstgrad.measure(mine, backend="fake", samples=2, evaluations=3, store=str(store), progress=False)
    return result, store


def test_a_result_is_what_the_command_line_prints_and_more(measured):
    result, _ = measured
    assert [record.status for record in result.records] == ["ok", "ok"]
    assert repr(result).startswith("live:mine, fake, dlogp, cold")
    assert "2 samples: median [interval]" in repr(result)
    assert "**2 samples: median [interval]**" in result.to_markdown()
    assert "<caption>2 samples: median [interval]</caption>" in result._repr_html_()
    assert list(result.to_dataframe()["time_to_first_gradient"] > 0) == [True, True]
    assert result.plot().axes
    with pytest.raises(AttributeError):
        result.records = ()


def test_records_of_a_live_model_are_kept_with_its_digest_and_cannot_be_measured_again(measured):
    result, store = measured
    with firstgrad.Store.open(store) as opened:
        kept = list(opened.records())
    assert [record.environment.source_digest for record in kept] == [pack(stand_in()).digest] * 2
    assert kept[0] == result.records[0]
    with pytest.raises(SpecError, match=r"for later, write a function that makes it"):
        firstgrad.measure(kept[0].case)


def test_options_replace_those_of_a_case(tmp_path):
    case = Case(model=Model(reference=write_model(tmp_path, "return Model()")), backend=BackendName.NUMBA)
    (record,) = firstgrad.measure(case, backend="fake", evaluations=0, progress=False).records
    assert record.case == Case(model=case.model, backend=BackendName.FAKE, evaluations=0)


def test_two_models_are_compared_under_their_names():
    before, after = stand_in(), stand_in()
    compared = firstgrad.compare(before, after, rounds=2, backend="fake", evaluations=3, progress=False)
    assert [side.name.partition("@")[0] for side in (compared.comparison.base, compared.comparison.head)] == [
        "before",
        "after",
    ]
    frame = compared.to_dataframe().set_index("metric")
    assert frame.loc["time_to_first_gradient", "ratio"] > 0
    assert "live:before" in repr(compared)
    assert compared.plot().axes
    with pytest.raises(SpecError, match="gate: expected counts or seconds, got 'nodes'"):
        firstgrad.compare(before, after, gate="nodes")


def test_a_profile_can_be_taken_apart():
    mine = stand_in()
    profiled = firstgrad.profile(mine, backend="fake", evaluations=0, progress=False)
    frame = profiled.to_dataframe()
    assert {"rewrite", "link"} <= set(frame[frame["kind"] == "phase"]["name"])
    assert "live:mine" in repr(profiled)
    assert profiled.plot().axes


def test_a_check_tells_group_by_group():
    checked = firstgrad.check(stand_in(), backend="fake", progress=False)
    assert checked.record.check.n_not_finite == 0
    assert list(checked.to_dataframe()["group"]) == ["x"]
    assert "no oracle for this model" in repr(checked)
    with pytest.raises(ValueError, match="nothing to draw"):
        checked.plot()


def test_advice_is_given_for_a_live_model_too():
    mine = stand_in()
    advised = firstgrad.advise(mine, evaluations=1000, backends=["fake"], time_budget="30s", progress=False)
    assert set(advised.to_dataframe()["choice"]) == {"fake"}
    assert "fake" in repr(advised)
    assert advised.plot().axes
    assert advised.lines == advised.answer.lines
    with pytest.raises(SpecError, match=r"samplers, backends: none of these samplers takes one of these backends"):
        firstgrad.advise(mine, backends=["c"], samplers=["blackjax"])


def test_another_version_of_a_package_is_refused(monkeypatch):
    import numpy as np

    packed = pack(stand_in())
    monkeypatch.setattr(np, "__version__", "0.1")
    with pytest.raises(ModelError, match=r"made with other packages than this process has: .*numpy .*, here 0\.1"):
        unpack(packed.content, "live:mine")


def test_an_operation_of_a_module_that_no_worker_finds_travels_whole(monkeypatch):
    module = ModuleType("loaded_from_a_path_of_ones_own")
    exec("class Own:\n    size = 3\n", vars(module))  # noqa: S102 - as a loader does it
    monkeypatch.setitem(sys.modules, module.__name__, module)
    variable = SimpleNamespace(name="term", type="scalar")
    variable.owner = SimpleNamespace(op=module.Own(), inputs=[], outputs=[variable])
    mine = stand_in()
    mine.potentials = [variable]
    packed = pack(mine)
    monkeypatch.delitem(sys.modules, module.__name__)
    (term,) = unpack(packed.content, "live:mine").potentials
    assert term.owner.op.size == 3


def test_findings_are_lines_of_a_data_frame():
    found = Finding(
        name=FindingName.SAME_SUBGRAPH,
        harm=Harm.COMPILE,
        fact="one line stands 7 times in the graph",
        lines=(CodeLine(file="study.py", line=3, function="<module>", text="total += rate * dose"),),
        variables=("rate", "dose"),
        count=7,
    )
    frame = LintResult(LintReport(model="live:mine", findings=(found,))).to_dataframe()
    assert frame.loc[0, ["name", "file", "line", "variables"]].to_list() == [
        "same-subgraph",
        "study.py",
        3,
        "rate, dose",
    ]
    assert list(LintResult(LintReport(model="live:mine")).to_dataframe().columns) == list(frame.columns)


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "firstgrad.toml").write_text(
        'models = ["pose"]\nbackends = "fake"\nevaluations = 3\nsamples = 2\nparameters.timesteps = [3, 4]\n'
        "[tiers.small]\nsamples = 1\nparameters.timesteps = 3\n"
    )
    return tmp_path


def test_several_models_are_measured_as_on_the_command_line(suite):
    result = firstgrad.measure("suite", progress=False, store="kept.sqlite", evaluations=2)
    assert [len(record.evaluation_seconds) for record in result.records] == [2] * 4
    assert {record.case.backend for record in result.records} == {BackendName.FAKE}
    assert "2 models, medians, the worst first" in repr(result)
    assert len(result.to_dataframe()) == 4
    assert result.plot().axes
    with firstgrad.Store.open(suite / "kept.sqlite") as kept:
        assert len(kept) == 4
    (record,) = firstgrad.measure("firstgrad.toml", tier="small", progress=False).records
    assert record.case.model.values["timesteps"] == 3
    with pytest.raises(SpecError, match="tier: is of a suite file"):
        firstgrad.measure("pose", tier="small")
    with pytest.raises(SpecError, match="timed_draws: is of one model"):
        firstgrad.measure(["pose", "pose"], timed_draws=3)


def test_two_places_are_compared_by_a_suite(suite):  # noqa: ARG001 - it is there
    compared = firstgrad.compare(".", ".", "suite", tier="small", rounds=1, progress=False)
    (case,) = compared.comparison.cases
    assert case.case.model.values["timesteps"] == 3
    with pytest.raises(SpecError, match=r"side 'backend=c': has options"):
        firstgrad.compare(".", "backend=c", "suite")


def test_a_bisection_is_asked_from_python_too(suite, monkeypatch):  # noqa: ARG001 - its folder
    with pytest.raises(SpecError, match="a live model can't be measured by other commits"):
        firstgrad.bisect("a", "b", stand_in())
    with pytest.raises(SpecError, match=r"--metric, --predicate: give one of them"):
        firstgrad.bisect("a", "b", "pose", metric="nodes", predicate="failed")
    with pytest.raises(SpecError, match=r"--repository: .* is no git repository"):
        firstgrad.bisect("a", "b", "mine.py:build", backend="c")
    good, bad = (Revision(name=name * 40) for name in "ab")
    answer = Bisection(outcome=Outcome.SAME, case=make_case(), revisions=2, name="mine", left_out=0, good=good, bad=bad)
    monkeypatch.setattr("firstgrad.bisecting.bench.bisect", lambda *_, **__: answer)
    assert "don't differ: aaaaaaaaaa and bbbbbbbbbb" in repr(firstgrad.bisect("a", "b", "mine.py:build"))
