"""Spans: ordered, cut to what they began in, and phases put end to end."""

from hypothesis import given
from hypothesis import strategies as st

from firstgrad.attribution.spans import nest_spans, pass_spans, phase_finder, phase_spans
from firstgrad.profile import Span, SpanKind
from firstgrad.record import Phase, PhaseRecord, RewritePass


def phase(which, began, wall):
    return PhaseRecord(phase=which, began_seconds=began, wall_seconds=wall, cpu_seconds=wall)


def span(kind, name, began, wall):
    return Span(kind=kind, name=name, began_seconds=began, wall_seconds=wall)


PHASES = (phase(Phase.REWRITE, 1.0, 2.0), phase(Phase.LINK, 3.0, 5.0), phase(Phase.FIRST_CALL, 7.0, 1.0))


def test_linking_that_was_done_early_does_not_reach_into_the_first_call():
    assert [(each.name, each.wall_seconds) for each in phase_spans(PHASES)] == [
        ("rewrite", 2.0),
        ("link", 4.0),
        ("first_call", 1.0),
    ]


def test_a_time_belongs_to_the_phase_around_it():
    find = phase_finder(PHASES)
    assert [find(at) for at in (0.5, 1.5, 4.0, 7.5, 9.0)] == [None, Phase.REWRITE, Phase.LINK, Phase.FIRST_CALL, None]


def test_passes_are_laid_out_in_order_within_rewriting():
    passes = [RewritePass(name="merge", wall_seconds=0.5), RewritePass(name="canonicalize", wall_seconds=1.0)]
    assert [(each.name, each.began_seconds) for each in pass_spans(passes, PHASES)] == [
        ("merge", 1.0),
        ("canonicalize", 1.5),
    ]
    assert pass_spans(passes, PHASES[1:]) == ()


def test_a_span_that_outlasts_the_one_it_began_in_is_cut():
    spans = nest_spans(
        [
            span(SpanKind.UNIT, "kernel", 6.5, 1.0),
            *phase_spans(PHASES),
            span(SpanKind.PASS, "nothing", 1.2, 0.0),
        ]
    )
    assert [(each.name, each.began_seconds, each.wall_seconds) for each in spans] == [
        ("rewrite", 1.0, 2.0),
        ("link", 3.0, 4.0),
        ("kernel", 6.5, 0.5),
        ("first_call", 7.0, 1.0),
    ]


def test_of_two_equal_spans_the_phase_is_the_outer_one():
    spans = nest_spans([span(SpanKind.STEP, "compile", 1.0, 2.0), span(SpanKind.PHASE, "rewrite", 1.0, 2.0)])
    assert [each.name for each in spans] == ["rewrite", "compile"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(SpanKind), st.floats(min_value=0, max_value=100), st.floats(min_value=0, max_value=50)
        ),
        max_size=30,
    )
)
def test_whatever_goes_in_nests(drawn):
    spans = nest_spans([span(kind, "x", began, wall) for kind, began, wall in drawn])
    around = []
    for each in spans:
        assert each.wall_seconds > 0
        while around and around[-1] <= each.began_seconds + 1e-9:
            around.pop()
        assert not around or each.began_seconds + each.wall_seconds <= around[-1] + 1e-9
        around.append(each.began_seconds + each.wall_seconds)
    assert [each.began_seconds for each in spans] == sorted(each.began_seconds for each in spans)
