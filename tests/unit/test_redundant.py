"""What a script does needlessly: found where it was planted, and nowhere else."""

from __future__ import annotations

import pytest

import planted_trace as planted
from firstgrad.observe.compiles import CacheCounts, CompileKind, Purpose
from firstgrad.observe.events import UnitKind
from firstgrad.tracing.redundant import RedundantKind, count_same, find_redundant
from firstgrad.tracing.sentences import tell_compiles, trace_sentences
from planted_trace import LIMIT, compiled, unit


def found(*compiles, limit=LIMIT, **known):
    return find_redundant(compiles, constant_limit=limit, **known)


def only(*compiles, **known):
    (work,) = found(*compiles, **known)
    return work


def test_a_clean_script_gets_no_finding_and_no_advice():
    trace = planted.clean()
    assert found(*trace.compiles) == ()
    assert trace_sentences(trace) == [
        "Draws began after 10.0 s (pymc, line 12): 8.20 s of it were 2 compiles.",
        "1 further compile (`pm.sample_posterior_predictive`) took 1.00 s after draws had begun.",
        "By purpose: gradient 8.00 s, predictive draws 1.00 s.",
        "0 units came from caches; 40 had to be compiled, of which caches keep 40 for later.",
    ]


def test_nothing_compiled_is_nothing_to_say():
    assert trace_sentences(planted.trace()) == []


def test_the_same_graphs_by_two_lines_are_told_with_both_and_with_their_wrappers():
    repeated, never = find_redundant(planted.twice().compiles)
    assert repeated.kind is RedundantKind.SAME_GRAPH
    assert repeated.seconds == pytest.approx(6.25)
    assert repeated.compiles == tuple((0, number) for number in range(6, 11))
    assert [line.line for line in repeated.lines] == [12, 15]
    assert repeated.fact == "line 15 (`pm.sample`) compiled 5 functions again that line 12 had compiled: 6.25 s"
    assert "nutpie.compile_pymc_model(model)" in repeated.remedy
    # What the first remedy saves is not promised a second time.
    assert never.kind is RedundantKind.NEVER_KEPT
    assert never.compiles == ((0, 4), (0, 5))
    assert never.seconds == pytest.approx(5.0)


def test_a_loop_over_data_is_told_apart_from_the_same_model_again():
    loop, never = find_redundant(planted.loop().compiles)
    assert loop.kind is RedundantKind.OTHER_CONSTANTS
    assert loop.seconds == pytest.approx(25.0)
    assert loop.fact.startswith("line 20 (`pm.sample`) was called 3 times and compiled the same but for the values of")
    assert "compiled.with_data(name=values)" in loop.remedy
    assert never.compiles == ((0, 4), (0, 5))


def test_another_line_with_the_same_structure_is_another_model():
    assert found(compiled(1, 4, graph="a/1", call=1), compiled(2, 9, graph="a/2", call=2)) == ()


def test_who_compares_backends_compiles_start_points_again_and_is_not_advised_on():
    nutpie = {"library_calls": ("pymc.sample", "nutpie.compile_pymc_model")}
    start = {"graph": "s", "purpose": Purpose.START_POINT, "backend": "python", **nutpie}
    compiles = (
        compiled(1, 4, 2.0, call=1, **start),
        compiled(2, 4, call=1, graph="g", **nutpie),
        compiled(3, 4, 2.0, call=2, **start),
        compiled(4, 4, call=2, graph="g", backend="jax", **nutpie),
    )
    assert found(*compiles) == ()


def test_what_a_library_repeats_within_one_call_is_its_own_matter():
    once = compiled(1, 4, graph="a", call=1), compiled(2, 4, graph="a", call=1)
    assert found(*once) == ()
    assert count_same(once) == 0
    again = (*once, compiled(3, 4, graph="a", call=2))
    assert "; 1 of them is of a graph compiled before" in tell_compiles(again, redundant=())[0]


@pytest.mark.parametrize(
    "other",
    [
        {"process": 1},  # a child has no function of its parent's
        {"backend": "jax"},  # a user who compares backends
        {"graph": "b"},
        {"within": 1},  # its seconds are in another's
        {"failure": "MemoryError"},
        {"seconds": 0.05},  # nobody's trouble
        {"asked_by": None},
        {"library_calls": ("pymc.sample_smc",), "purpose": Purpose.SMC},  # nothing is known to help
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_is_no_repetition(other):
    again = {"graph": "a", "call": 2, **other}
    assert found(compiled(1, 4, graph="a", call=1), compiled(2, 9, again.pop("seconds", 1.0), **again)) == ()


def test_predictive_functions_compiled_again_are_kept_by_a_frozen_model_where_there_is_one():
    call = {"purpose": Purpose.PREDICTIVE, "library_calls": ("pymc.sample_posterior_predictive",), "graph": "p"}
    twice = compiled(1, 4, 2.0, call=1, **call), compiled(2, 6, 1.5, call=2, **call)
    work = only(*twice, pymc="6.4.0")
    assert work.seconds == pytest.approx(1.5)
    assert "freeze_model(model)" in work.remedy
    assert only(*twice, pymc="6.10.1").remedy == work.remedy
    assert found(*twice, pymc="6.3.0") == ()


def test_a_frozen_model_is_promised_for_what_it_keeps_only():
    first = compiled(1, 4, graph="g", call=1), compiled(2, 4, graph="t", purpose=Purpose.EXPAND, call=1)
    again = compiled(3, 8, 2.0, graph="g", call=2), compiled(4, 8, 3.0, graph="t", purpose=Purpose.EXPAND, call=2)
    assert only(*first, *again).seconds == pytest.approx(2.0)


def test_what_a_frozen_model_keeps_is_no_repetition():
    copied = {"graph": "g", "library_calls": ("pymc.sample", "pymc.init_nuts", "pymc.BaseModel.logp_dlogp_function")}
    again = {"graph": "e", "library_calls": ("pymc.sample", "pymc.FrozenModel.compile_fn"), "purpose": Purpose.EXPAND}
    compiles = (
        compiled(1, 4, graph="g", call=1),
        *(compiled(2 * call, 4, call=call, **copied) for call in (1, 2, 3)),
        *(compiled(2 * call + 1, 4, call=call, **again) for call in (1, 2, 3)),
    )
    assert found(*compiles) == ()
    assert count_same(compiles) == 2


def test_a_function_of_the_users_own_is_to_be_kept():
    own = {"library_calls": ("pymc.BaseModel.compile_dlogp",), "graph": "g"}
    assert only(compiled(1, 4, **own), compiled(2, 8, **own)).remedy.startswith("Keep the function")


def test_a_constant_above_the_limit_that_the_backend_tells():
    cache = CacheCounts(written=3, never_kept=1, never_kept_seconds=2.0)
    big = compiled(1, 4, 5.0, largest_constant_bytes=LIMIT + 1, cache=cache)
    work = only(big)
    assert (work.kind, work.seconds) == (RedundantKind.LARGE_CONSTANT, 2.0)
    assert "1,000,000 bytes" in work.fact
    assert "pm.Data" in work.remedy
    assert found(compiled(1, 4, 5.0, largest_constant_bytes=LIMIT, cache=cache)) == ()
    assert found(compiled(1, 4, 5.0, largest_constant_bytes=LIMIT + 1, cache=CacheCounts(written=4))) == ()
    assert find_redundant([big]) == ()  # a limit that nobody told is none


def test_start_points_that_start_a_c_compiler():
    start = {"purpose": Purpose.START_POINT, "backend": "python"}
    module = unit("lazylinker_ext", 1.5, kind=UnitKind.C_MODULE, compiler_seconds=1.25)
    needless = compiled(1, 4, 2.0, units=(module,), **start)
    work = only(needless, compiled(2, 4, 9.0))
    assert (work.kind, work.seconds) == (RedundantKind.C_COMPILER, 1.25)
    assert "PYTENSOR_FLAGS=cxx=" in work.remedy
    assert found(needless, compiled(2, 4, 9.0, backend="c", units=(module,))) == ()  # it is needed all the same
    assert found(compiled(1, 4, 2.0, **start), compiled(2, 4, 9.0)) == ()


def test_jax_without_a_cache():
    cache = CacheCounts(never_kept=4, never_kept_seconds=3.0)
    work = only(compiled(1, 4, 4.0, backend="jax", kind=CompileKind.JAX_FUNCTION, cache=cache))
    assert work.fact.startswith("3.00 s are compiled in every process, since no cache keeps them: 1 function of JAX")
    assert "JAX_COMPILATION_CACHE_DIR" in work.remedy


def test_several_files_are_named_and_names_are_cleaned():
    one = planted.line(3, file="/a/helpers\x1b.py")
    twice = compiled(1, 4, graph="a", call=1), compiled(2, None, graph="a", asked_by=one, call=2)
    assert r"helpers\x1b.py:3 (`pm.sample`) compiled 1 function again that script.py:4" in only(*twice).fact


def test_other_processes_memory_and_failures_are_told():
    told = " ".join(trace_sentences(planted.large()))
    assert "2 other processes made 2 compiles, 10.0 s." in told
    assert "Memory rose most, by 1.66 GiB to 1.95 GiB, in the compile of gradient in " in told
    assert "ended without a function: NotImplementedError: " in told
    assert "\x1b" not in told
    assert "\u202e" not in told


def test_seconds_before_the_draws_are_only_those_before_them():
    # A first call that came later.
    trace = planted.trace(
        compiled(1, 4, 10.0, began=0.0, phases={"rewrite": 0.2, "first_call": 0.8}),
        draws_began=(planted.DrawsBegan(process=0, at_seconds=6.0, sampler="pymc"),),
    )
    assert trace_sentences(trace)[0] == "Draws began after 6.00 s (pymc): 6.00 s of it were 1 compile."


def test_functions_that_spawned_processes_were_sent_are_compiled_again_there():
    sent = {"phases": {"link": 0.75, "first_call": 0.25}, "library_calls": ()}
    compiles = (
        compiled(1, 4, 2.0, graph="g"),
        compiled(1, None, 3.0, process=1, **sent),
        compiled(1, None, 4.0, process=2, **sent),
        compiled(2, None, 5.0, process=2, graph="own"),
    )
    work = only(*compiles, spawned={1, 2})
    assert (work.kind, work.seconds) == (RedundantKind.SENT, 4.0)
    assert work.compiles == ((1, 1), (2, 1))
    assert work.fact == "2 spawned processes compiled again what had been sent there: 4.00 s in the slowest"
    assert found(*compiles) == ()


def test_draws_in_another_process_are_draws():
    began = planted.DrawsBegan(process=1, at_seconds=6.0, sampler="pymc", line=planted.line(1, file="<string>"))
    trace = planted.trace(
        compiled(1, 4, 2.0, began=1.0),
        compiled(1, None, 2.0, began=4.0, process=1),
        compiled(1, None, 2.0, began=4.0, process=2),
        draws_began=(began,),
    )
    assert trace_sentences(trace)[0] == "Draws began after 6.00 s (pymc): 4.00 s of it were 2 compiles."
