"""Where the time of real compiles goes, on every backend: one profile cold and one warm, of one small model."""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from firstgrad.case import BackendName, Case, Scenario
from firstgrad.measuring.launch import conclude, make_task
from firstgrad.measuring.private import PrivateCaches
from firstgrad.measuring.session import Transcript, run_worker
from firstgrad.model import Model
from firstgrad.observe.events import SpanKind, UnitKind
from firstgrad.phase import FIRST_GRADIENT_PHASES, Phase
from firstgrad.profiling import Profile
from firstgrad.profiling.lines import find_line_costs

pytestmark = pytest.mark.compiles

MODEL = f"{Path(__file__).with_name('attributed_model.py')}:build"
BACKENDS = [
    pytest.param(BackendName.C, marks=pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++")),
    pytest.param(BackendName.NUMBA, marks=pytest.mark.skipif(not find_spec("numba"), reason="there is no numba")),
    pytest.param(BackendName.JAX, marks=pytest.mark.skipif(not find_spec("jax"), reason="there is no jax")),
]
COMPILED_IN = {BackendName.C: Phase.LINK, BackendName.NUMBA: Phase.FIRST_CALL, BackendName.JAX: Phase.FIRST_CALL}


@pytest.fixture(scope="module", params=BACKENDS)
def profiles(request):
    """A cold and a warm profile of one backend, the warm one from what the cold one left in the caches."""
    case = Case(model=Model(reference=MODEL), backend=request.param, evaluations=3)
    found = {}
    with PrivateCaches() as private:
        private.restore()
        for scenario in (Scenario.COLD, Scenario.WARM):
            task = replace(make_task(replace(case, scenario=scenario), private), profile=True)
            heard = run_worker(task, private, Transcript())
            found[scenario] = Profile(record=conclude(task, heard), attribution=heard.attribution)
            if scenario is Scenario.COLD:
                private.save()
                private.restore()
    return found


@pytest.fixture(scope="module")
def cold(profiles):
    return profiles[Scenario.COLD]


def backend_of(profile):
    return profile.record.case.backend


def test_everything_could_be_seen(profiles):
    for profile in profiles.values():
        assert profile.record.failure is None
        assert profile.attribution.unavailable == ()


def test_units_explain_the_phase_they_are_compiled_in_and_never_more_than_any_phase(cold):
    own = defaultdict(float)
    for unit in cold.attribution.units:
        own[unit.phase] += unit.own_seconds
    phase = COMPILED_IN[backend_of(cold)]
    assert own[phase] >= 0.8 * cold.record.phase(phase).wall_seconds
    for phase, seconds in own.items():
        assert seconds <= cold.record.phase(phase).wall_seconds * 1.001


def test_compilers_explain_the_linking_of_c(cold):
    if backend_of(cold) is not BackendName.C:
        assert sum(unit.compiler_seconds for unit in cold.attribution.units) == 0
        return
    ran = sum(unit.compiler_seconds for unit in cold.attribution.units if unit.phase is Phase.LINK)
    assert ran >= 0.8 * cold.record.phase(Phase.LINK).wall_seconds
    assert all(unit.compiler_seconds <= unit.own_seconds for unit in cold.attribution.units)


def test_units_are_counted_as_the_record_counts_them(cold):
    units = [unit for unit in cold.attribution.units if not unit.from_cache]
    if backend_of(cold) is BackendName.NUMBA:
        assert 0 < len(units) <= cold.record.counts.compiled_units  # several specialisations are one unit
    else:
        assert len(units) == cold.record.counts.compiled_units


def test_units_have_names_of_their_own_and_lie_within_known_ones(cold):
    names = [unit.name for unit in cold.attribution.units]
    assert len(set(names)) == len(names)
    assert {unit.within for unit in cold.attribution.units} <= {*names, ""}
    kinds = {BackendName.C: UnitKind.C_MODULE, BackendName.NUMBA: UnitKind.JITTED_FUNCTION}
    assert {unit.kind for unit in cold.attribution.units} == {kinds.get(backend_of(cold), UnitKind.XLA_MODULE)}


def test_sources_are_the_groups_that_an_operation_is_about(cold):
    for unit in cold.attribution.units:
        assert not any(source.endswith("_log__") for source in unit.sources)
    if backend_of(cold) is BackendName.JAX:
        assert {"FunctionGraph"} <= {unit.op for unit in cold.attribution.units}  # one module for it all
        return
    sources = [unit.sources for unit in cold.attribution.units if "cumsum" in unit.op.lower() or "CumOp" in unit.op]
    assert sources
    assert all(each[0] == "level" for each in sources if len(each) == 1)
    assert any("level" in each for each in sources)
    assert ("spread",) in {unit.sources for unit in cold.attribution.units}


def test_the_whole_graphs_unit_serves_all_nodes(cold):
    if backend_of(cold) is BackendName.C:
        pytest.skip("C has no unit of the whole graph")
    whole = [unit for unit in cold.attribution.units if unit.op == "FunctionGraph"]
    assert [unit.nodes for unit in whole] == [cold.record.counts.nodes_after]


def test_sizes_of_machine_code_are_told(cold):
    assert any((unit.code_bytes or 0) > 1000 for unit in cold.attribution.units)


def test_a_cold_compile_says_what_no_cache_had_and_a_warm_one_what_came_from_it(profiles):
    cold, warm = (profiles[each].attribution for each in (Scenario.COLD, Scenario.WARM))
    assert cold.cache_misses
    assert len(warm.cache_misses) < len(cold.cache_misses) or not warm.cache_misses
    assert any(unit.from_cache for unit in warm.units)
    assert sum(unit.own_seconds for unit in warm.units) < sum(unit.own_seconds for unit in cold.units)


def test_seconds_by_line_add_up_and_know_whose_cumulative_sum_it_is(cold):
    costs = find_line_costs(cold)
    assert sum(cost.seconds for cost in costs.costs) == pytest.approx(cold.record.window_seconds)
    assert all(cost.seconds >= 0 for cost in costs.costs)
    assert costs.costs[-1].share < 0.2
    source = Path(MODEL.rpartition(":")[0]).read_text(encoding="utf-8").splitlines()
    numbers = {
        name: next(number for number, text in enumerate(source, start=1) if f'("{name}"' in text)
        for name in ("level", "spread", "y")
    }
    by_line = {cost.line.line: cost for cost in costs.lines}
    assert set(by_line) == set(numbers.values())
    assert costs.lines[0] is by_line[numbers["y"]]
    assert sum(cost.nodes_before for cost in costs.costs) == pytest.approx(cold.record.counts.nodes_before, abs=2)
    assert sum(cost.nodes_after for cost in costs.costs) == pytest.approx(cold.record.counts.nodes_after)
    places = {nodes.line.line: place for place, nodes in enumerate(cold.attribution.lines) if nodes.line is not None}
    for unit in cold.attribution.units:
        if "cumsum" in unit.op.lower() or "CumOp" in unit.op:
            assert dict(unit.lines).get(places[numbers["y"]]) == pytest.approx(1.0)


def test_rewriters_take_no_longer_than_their_pass(cold):
    within, passes = defaultdict(float), defaultdict(float)
    for each in cold.attribution.rewriters:
        within[each.pass_name] += each.wall_seconds
    for each in cold.record.rewrite_passes:
        passes[each.name] += each.wall_seconds
    assert set(within) <= set(passes)
    assert all(seconds <= passes[name] + 1e-6 for name, seconds in within.items())
    assert sum(within.values()) >= 0.5 * sum(passes.values())
    assert "canonicalize" in {each.pass_name for each in cold.attribution.rewriters if each.applied}
    assert not any("Mark" in each.name for each in cold.attribution.rewriters)


def test_types_of_nodes_add_up_to_the_records_counts(cold):
    types = cold.attribution.node_types
    assert sum(each.after for each in types) == cold.record.counts.nodes_after
    assert {each.name: each.before for each in types}["CumOp"] >= 1


def test_imports_add_up_to_the_phase(cold):
    imports = {each.name: each for each in cold.attribution.imports}
    assert sum(each.own_seconds for each in imports.values()) == pytest.approx(
        cold.record.phase(Phase.IMPORT).wall_seconds, rel=0.05
    )
    # PyMC imports PyTensor, which is not its own time.
    assert imports["pymc"].wall_seconds > 2 * imports["pymc"].own_seconds > 0
    assert imports["pytensor"].own_seconds > 0
    assert all(each.own_seconds <= each.wall_seconds + 1e-9 for each in imports.values())


def test_spans_nest(profiles):
    for profile in profiles.values():
        around = []
        spans = profile.attribution.spans
        assert [each.began_seconds for each in spans] == sorted(each.began_seconds for each in spans)
        for each in spans:
            while around and around[-1] <= each.began_seconds + 1e-9:
                around.pop()
            ended = each.began_seconds + each.wall_seconds
            assert not around or ended <= around[-1] + 1e-9
            assert (each.kind is SpanKind.PHASE) == (not around)
            around.append(ended)
        names = [each.name for each in spans if each.kind is SpanKind.PHASE]
        assert names == [Phase.IMPORT, *FIRST_GRADIENT_PHASES]
        units = {unit.name for unit in profile.attribution.units}
        assert {each.name for each in spans if each.kind is SpanKind.UNIT} <= units
