"""What rewriting tells: marks between planted passes, planted profiles of every kind, nothing counted twice."""

from types import SimpleNamespace

import pytest

from firstgrad.observe import rewriting
from firstgrad.observe.events import NodeTypeCount
from firstgrad.observe.rewriting import MarkedMode, count_node_types, read_passes, read_rewriters
from firstgrad.record import RewritePass


def named(name, **more):
    return SimpleNamespace(name=name, **more)


class Nameless:
    pass


class Mark:
    name = "mark"
    is_firstgrad_mark = True


def sequence(seconds, inner):
    return (None, seconds, 0.0, 0.0, 1, 1, inner, [], [], {})


def stats(rewriters, seconds, inner):
    top = SimpleNamespace(data=rewriters)
    return SimpleNamespace(
        rewriter_profile=(None, (top, seconds, 0.0, 0.0, 1, 1, inner, [], [(1, 1)] * len(seconds), {}))
    )


def named_rewriter(name):
    """One that can be a key."""
    return type(name, (), {"name": name})


def equilibrium(seconds, loops):
    return (None, [1.0] * len(loops), loops, (1, 1, 1), [0.0], [1], seconds, [0.0], {}, [], [], [])


def test_an_equilibrium_is_replaced_by_its_rewriters_over_all_loops():
    add, mul, idle = named_rewriter("local_add"), named_rewriter("local_mul"), named_rewriter("never_tried")
    inner = equilibrium({add: 0.2, mul: 0.5, idle: 0}, [{add: 2, mul: 1}, {add: 3}])
    found = read_rewriters(stats([named("canonicalize")], [1.0], [inner]))
    assert [(each.name, each.pass_name, each.wall_seconds, each.applied) for each in found] == [
        ("local_mul", "canonicalize", 0.5, 1),
        ("local_add", "canonicalize", 0.2, 5),
    ]


def test_a_sequence_within_a_sequence_is_replaced_down_to_its_leaves():
    leaf = named_rewriter("leaf")
    inner_pass = named("inner", data=[named("first"), named("second")])
    inner = sequence([0.3, 0.4], [None, equilibrium({leaf: 0.35}, [{leaf: 1}])])
    outer = named("blas", data=[inner_pass])
    found = read_rewriters(stats([outer], [0.8], [sequence([0.75], [inner])]))
    assert [(each.pass_name, each.name, each.wall_seconds) for each in found] == [
        ("blas", "leaf", 0.35),
        ("blas", "first", 0.3),
    ]
    assert sum(each.wall_seconds for each in found) <= 0.8


def test_walks_merges_and_fusions_are_one_rewriter_each_with_their_counts():
    walk = (None, 7, 1, 1, 0.0, 0.1, 0.0, SimpleNamespace(name="local_node"))
    fusion = (None, 5, 4, 0, 0.0, 0.0, {}, 0.01)
    merge = (0, 0.0, 0.0, 0.0, {}, 9, 0)
    passes = [SimpleNamespace(), named("fusion"), named("merge1"), Nameless()]
    found = read_rewriters(stats(passes, [0.4, 0.3, 0.2, 0.1], [walk, fusion, merge, None]))
    assert [(each.name, each.applied) for each in found] == [
        ("local_node", 7),
        ("fusion", 5),
        ("merge1", 9),
        ("Nameless", 0),
    ]


def test_a_rewriter_that_occurs_twice_in_a_pass_is_added_up_and_marks_are_left_out():
    outer = named("pass", data=[named("merge"), named("merge")])
    (found,) = read_rewriters(stats([outer], [0.5], [sequence([0.2, 0.1], [None, None])]))
    assert (found.name, round(found.wall_seconds, 9)) == ("merge", 0.3)
    found = read_rewriters(stats([Mark(), named("merge")], [0.1, 0.2], [None, None]))
    assert [each.pass_name for each in found] == ["merge"]
    assert read_rewriters(None) == ()
    assert read_rewriters(SimpleNamespace(rewriter_profile=None)) == ()


def test_passes_are_read_in_order_without_the_marks():
    profile = stats([Mark(), named("merge"), Nameless()], [0.1, 0.2, 0.3], [None, None, None])
    assert read_passes(profile) == (
        (
            RewritePass(name="merge", wall_seconds=0.2, nodes_before=1, nodes_after=1),
            RewritePass(name="Nameless", wall_seconds=0.3, nodes_before=1, nodes_after=1),
        ),
        (),
    )
    assert read_passes(SimpleNamespace(rewriter_profile=None)) == ((), ())


@pytest.mark.parametrize(
    "details",
    [
        (SimpleNamespace(data=[named("merge")]), [0.1]),  # shorter
        (SimpleNamespace(data=[named("merge")]), [0.1, 0.2], *[()] * 4, [None], (), [(1, 1)]),  # of unlike lengths
        (SimpleNamespace(data=[named("merge")]), [0.1], *[()] * 4, [None], (), [1]),  # nodes without a pair
        (SimpleNamespace(), [0.1], *[()] * 4, [None], (), [(1, 1)]),  # passes kept elsewhere
        (SimpleNamespace(data=[named("merge")]), ["soon"], *[()] * 4, [None], (), [(1, 1)]),
        {"passes": []},
    ],
)
def test_a_profile_of_another_shape_costs_the_passes_and_says_why(details):
    passes, unavailable = read_passes(SimpleNamespace(rewriter_profile=(None, details)))
    assert passes == ()
    (reason,) = unavailable
    assert reason.startswith("passes: PyTensor's profile has another shape (")


class PlantedMode:
    """Stands for a mode: keeps what is registered with it, and applies it in order."""

    def __init__(self, optdb):
        self.optimizer = SimpleNamespace(data=[named("merge"), Nameless(), named("fusion"), named("late")])
        self.optdb = optdb
        self.registered = []

    def register(self, *marks):
        self.registered = [mark for mark, _ in sorted(marks, key=lambda one: one[1])]
        return self

    def rewrite(self, *graphs):
        for graph in graphs:
            for mark in self.registered:
                mark.apply(graph)


@pytest.fixture
def news(monkeypatch):
    """Marks without PyTensor, and what their hooks are told."""
    monkeypatch.setattr(rewriting.probes, "GRAPH_REWRITER", SimpleNamespace(find=lambda: object))
    rewriting._mark_class.cache_clear()
    yield SimpleNamespace(told=[])
    rewriting._mark_class.cache_clear()


def hooks_of(news):
    return SimpleNamespace(passing=lambda *what: news.told.append(what), rewrite_ended=lambda: news.told.append("end"))


def graph(nodes):
    return SimpleNamespace(apply_nodes=range(nodes))


def test_marks_tell_each_placed_pass_and_the_end_of_the_outer_graph_alone(news):
    mode = PlantedMode(SimpleNamespace(__position__={"merge": 0, "fusion": 49}))
    marked = MarkedMode(mode)
    outer, inner = graph(7), graph(3)
    mode.rewrite(outer)  # nobody asked yet
    assert marked.with_hooks(hooks_of(news)) is mode
    for mark in mode.registered[:2]:
        mark.apply(outer)
    mode.rewrite(inner)
    for mark in mode.registered[2:]:
        mark.apply(outer)
    assert news.told == [("merge", 1, 3, 7), ("fusion", 2, 3, 7), "end"]
    assert (marked.nodes_before, marked.unavailable) == (7, ())


def test_a_database_of_another_shape_costs_the_news_and_not_the_border(news):
    mode = PlantedMode(SimpleNamespace())
    marked = MarkedMode(mode)
    marked.with_hooks(hooks_of(news))
    mode.rewrite(graph(5))
    assert news.told == ["end"]
    assert marked.nodes_before == 5
    (reason,) = marked.unavailable
    assert reason.startswith("passes as they begin: AttributeError")


class Add:
    pass


class Exp:
    pass


def output(*inputs, op=None):
    return SimpleNamespace(owner=SimpleNamespace(inputs=list(inputs), op=op))


def test_nodes_are_counted_once_by_type_before_and_after():
    shared = output(SimpleNamespace(owner=None), op=Exp())
    graph = [output(shared, shared, op=Add()), output(shared, op=Add())]
    assert count_node_types(graph, [("Composite", 1), ("Add", 1)]) == (
        NodeTypeCount(name="Add", before=2, after=1),
        NodeTypeCount(name="Composite", before=0, after=1),
        NodeTypeCount(name="Exp", before=1, after=0),
    )


def test_a_graph_that_is_one_variable_is_counted_too():
    assert count_node_types(output(op=Exp()), []) == (NodeTypeCount(name="Exp", before=1, after=0),)
    assert count_node_types(None, []) == ()
