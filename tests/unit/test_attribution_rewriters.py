"""Rewriters: read from planted profiles of every kind that PyTensor leaves, nothing counted twice."""

from types import SimpleNamespace

from firstgrad.attribution.rewriters import read_rewriters


def named(name, **more):
    return SimpleNamespace(name=name, **more)


class Nameless:
    pass


class Mark:
    name = "mark"


def is_mark(rewriter):
    return isinstance(rewriter, Mark)


def sequence(seconds, inner):
    return (None, seconds, 0.0, 0.0, 1, 1, inner, [], [], {})


def stats(rewriters, seconds, inner):
    top = SimpleNamespace(data=rewriters)
    return SimpleNamespace(
        rewriter_profile=(None, (top, seconds, 0.0, 0.0, 1, 1, inner, [], [(1, 1)] * len(seconds), {}))
    )


class Hashable:
    def __init__(self, name):
        self.name = name


def equilibrium(seconds, loops):
    return (None, [1.0] * len(loops), loops, (1, 1, 1), [0.0], [1], seconds, [0.0], {}, [], [], [])


def test_an_equilibrium_is_replaced_by_its_rewriters_over_all_loops():
    add, mul, idle = Hashable("local_add"), Hashable("local_mul"), Hashable("never_tried")
    inner = equilibrium({add: 0.2, mul: 0.5, idle: 0}, [{add: 2, mul: 1}, {add: 3}])
    found = read_rewriters(stats([named("canonicalize")], [1.0], [inner]), is_mark)
    assert [(each.name, each.pass_name, each.wall_seconds, each.applied) for each in found] == [
        ("local_mul", "canonicalize", 0.5, 1),
        ("local_add", "canonicalize", 0.2, 5),
    ]


def test_a_sequence_within_a_sequence_is_replaced_down_to_its_leaves():
    leaf = Hashable("leaf")
    inner_pass = named("inner", data=[named("first"), named("second")])
    inner = sequence([0.3, 0.4], [None, equilibrium({leaf: 0.35}, [{leaf: 1}])])
    outer = named("blas", data=[inner_pass])
    found = read_rewriters(stats([outer], [0.8], [sequence([0.75], [inner])]), is_mark)
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
    found = read_rewriters(stats(passes, [0.4, 0.3, 0.2, 0.1], [walk, fusion, merge, None]), is_mark)
    assert [(each.name, each.applied) for each in found] == [
        ("local_node", 7),
        ("fusion", 5),
        ("merge1", 9),
        ("Nameless", 0),
    ]


def test_marks_are_left_out():
    found = read_rewriters(stats([Mark(), named("merge")], [0.1, 0.2], [None, None]), is_mark)
    assert [each.pass_name for each in found] == ["merge"]


def test_a_rewriter_that_occurs_twice_in_a_pass_is_added_up():
    outer = named("pass", data=[named("merge"), named("merge")])
    (found,) = read_rewriters(stats([outer], [0.5], [sequence([0.2, 0.1], [None, None])]), is_mark)
    assert (found.name, round(found.wall_seconds, 9)) == ("merge", 0.3)


def test_without_a_profile_there_are_none():
    assert read_rewriters(None, is_mark) == ()
    assert read_rewriters(SimpleNamespace(rewriter_profile=None), is_mark) == ()
