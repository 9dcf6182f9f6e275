"""Sources: the model's variables nearest to a node, on graphs of small objects."""

from types import SimpleNamespace

from firstgrad.attribution.node_types import count_node_types
from firstgrad.attribution.sources import nearest_sources, unite_sources, value_names
from firstgrad.profile import NodeType

GROUPS = {"level": "level", "spread_log__": "spread", "raw_u_3": "raw_u_3", "rho_logodds__": "rho"}


class Add:
    pass


class Exp:
    pass


class Named:
    def __init__(self, name):
        self.name = name


def variable(name=None, owner=None):
    return SimpleNamespace(name=name, owner=owner)


def constant(name=None):
    return SimpleNamespace(name=name, owner=None, data=1.0)


def node(*inputs, op=None):
    return SimpleNamespace(inputs=list(inputs), op=op)


def output(*inputs, name=None, op=None):
    return variable(name, node(*inputs, op=op))


def test_nearest_first_and_by_the_groups_name():
    far = output(output(variable("level")))
    near = output(variable("spread_log__"))
    assert nearest_sources(node(far, near), GROUPS) == ("spread", "level")


def test_no_more_than_three():
    assert nearest_sources(node(*map(variable, GROUPS)), GROUPS) == ("level", "spread", "raw_u_3")


def test_each_group_once_however_often_it_is_used():
    level = variable("level")
    assert nearest_sources(node(level, output(level), output(level)), GROUPS) == ("level",)


def test_without_variables_of_the_model_named_ones_help_but_never_constants():
    named = output(constant("data"), name="mu")
    assert nearest_sources(node(named, constant("y")), GROUPS) == ("mu",)
    assert nearest_sources(node(constant("y")), GROUPS) == ()


def test_a_variable_of_the_model_is_better_than_a_nearer_name():
    assert nearest_sources(node(output(variable("level"), name="mu")), GROUPS) == ("level",)


def test_the_search_ends_on_large_graphs():
    chain = variable("level")
    for _ in range(50):
        chain = output(chain)
    assert nearest_sources(node(chain), GROUPS, most_looked_at=20) == ()
    assert nearest_sources(node(chain), GROUPS) == ("level",)


def test_several_nodes_are_united_by_frequency_then_nearness():
    assert unite_sources([("a", "b"), ("b",), ("c", "b"), ("a",)]) == ("b", "a", "c")
    assert unite_sources([("far", "near"), ("near", "far"), ("near",)], most=1) == ("near",)
    assert unite_sources([]) == ()


def test_names_of_values_are_those_of_the_model():
    spread = Named("spread")
    model = SimpleNamespace(free_RVs=[spread], rvs_to_values={spread: Named("spread_log__")})
    assert value_names(model) == {"spread_log__": "spread"}


def test_nodes_are_counted_once_by_type_before_and_after():
    shared = output(variable("level"), op=Exp())
    graph = [output(shared, shared, op=Add()), output(shared, op=Add())]
    assert count_node_types(graph, [("Composite", 1), ("Add", 1)]) == (
        NodeType(name="Add", before=2, after=1),
        NodeType(name="Composite", before=0, after=1),
        NodeType(name="Exp", before=1, after=0),
    )


def test_a_graph_that_is_one_variable_is_counted_too():
    assert count_node_types(output(op=Exp()), []) == (NodeType(name="Exp", before=1, after=0),)
    assert count_node_types(None, []) == ()
