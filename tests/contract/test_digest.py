"""Digests of models: equal for one model, wherever it is built; never equal for two that could answer differently."""

from __future__ import annotations

import itertools
import types
from dataclasses import dataclass, replace

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytensor.compile.builders import OpFromGraph
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from firstgrad.fast import digest
from firstgrad.fast.digest import of_model
from firstgrad.fast.xla import require_jax
from firstgrad.observe import probes

require_jax()  # the digest covers JAX's settings, which this sets


@pytest.fixture(scope="module", autouse=True)
def _where_functions_are_kept(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FIRSTGRAD_CACHE")
        patch.setenv("FIRSTGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("kept") / "functions"))
        yield


NUMBERS = st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 1.0 + 2**-52])
POSITIVE = st.sampled_from([0.5, 1.0, 1.0 + 2**-52, 2.0])
TERMS = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "subtract, the other way round": lambda x, y: y - x,
    "where": lambda x, y: pt.where(x > y, x, y),
    "where or equal": lambda x, y: pt.where(x >= y, x, y),
    "maximum": pt.maximum,
    "cumulated": lambda x, y: pt.cumsum(x) * y,
    "as float32": lambda x, y: x * pt.cast(y, "float32"),
    "power": lambda x, y: pt.abs(x) ** y,
}


@dataclass(frozen=True)
class Described:
    """A small model, in words."""

    mu: float = 0.0
    sigma: float = 1.0
    size: int = 3
    term: str = "add"
    other: str = "Normal"
    transform: str = "none"
    initval: float | None = None
    data: tuple[float, ...] = (0.5, 1.0, -0.0)
    is_shared: bool = False
    first_name: str = "x"
    has_potential: bool = False
    axis: int | None = None
    is_swapped: bool = False

    def build(self):
        with pm.Model() as model:
            made = {}
            for name in ("y", "x") if self.is_swapped else ("x", "y"):
                if name == "x":
                    options = {"shape": self.size}
                    if self.transform == "interval":
                        options["transform"] = pm.distributions.transforms.Interval(-9, 9)
                    if self.initval is not None:
                        options["initval"] = np.full(self.size, self.initval)
                    made[name] = pm.Normal(self.first_name, self.mu, self.sigma, **options)
                else:
                    made[name] = getattr(pm, self.other)("y", 1.0, 1.0)
            eta = TERMS[self.term](made["x"], made["y"])
            data = np.resize(np.array(self.data), self.size)
            pm.Normal("z", eta, 1.0, observed=pm.Data("data", data) if self.is_shared else data)
            if self.has_potential:
                pm.Potential("extra", -pt.sum(pt.outer(made["x"], made["x"]), axis=self.axis).sum())
        return model


DESCRIBED = st.builds(
    Described,
    mu=NUMBERS,
    sigma=POSITIVE,
    size=st.integers(1, 3),
    term=st.sampled_from(sorted(TERMS)),
    other=st.sampled_from(["Normal", "Laplace", "Gamma"]),
    transform=st.sampled_from(["none", "interval"]),
    initval=st.sampled_from([None, 0.5, 1.0]),
    data=st.tuples(NUMBERS, NUMBERS, NUMBERS),
    is_shared=st.booleans(),
    first_name=st.sampled_from(["x", "w"]),
    has_potential=st.just(True),
    axis=st.sampled_from([None, 0, 1]),
    is_swapped=st.booleans(),
)


def told(model):
    made = of_model(model)
    assert made.text, made.reason
    return made.text


@settings(max_examples=60, deadline=None)
@given(DESCRIBED, st.data())
def test_one_change_is_another_digest_and_the_same_again_is_the_same(described, data):
    before = told(described.build())
    assert told(described.build()) == before
    field = data.draw(st.sampled_from(["mu", "sigma", "size", "term", "other", "transform", "initval", "data", "axis"]))
    other = getattr(data.draw(DESCRIBED), field)
    # 0.0 and -0.0 are equal, and not the same; of data only those count that the model has.
    seen = described.size if field == "data" else None
    is_same = repr(other if seen is None else other[:seen]) == repr(
        getattr(described, field) if seen is None else described.data[:seen]
    )
    assert (told(replace(described, **{field: other}).build()) == before) is is_same


def scanned(factor, steps=4):
    with pm.Model() as model:
        x = pm.Normal("x")
        states = pytensor.scan(lambda last: last * factor, outputs_info=x, n_steps=steps, return_updates=False)
        pm.Potential("p", -(states**2).sum())
    return model


def within_an_operation(exponent):
    inner = pt.dscalar()
    op = OpFromGraph([inner], [inner**exponent])
    with pm.Model() as model:
        pm.Potential("p", -op(pm.Normal("x")))
    return model


def walked(step):
    with pm.Model() as model:
        pm.CustomDist("x", 1.0, dist=lambda sigma, size: pt.cumsum(pm.Normal.dist(0, sigma, shape=4) * step), shape=4)  # noqa: ARG005 - PyMC's signature
    return model


def correlated(eta):
    with pm.Model() as model:
        scale = pm.Exponential.dist(1.0, shape=3)
        chol, *_ = pm.LKJCholeskyCov("chol", eta=eta, n=3, sd_dist=scale)
        pm.MvNormal("x", np.zeros(3), chol=chol, observed=np.ones(3))
    return model


def custom(offset, **options):
    with pm.Model() as model:
        mu = pm.Normal("mu")
        pm.CustomDist("y", mu, logp=lambda value, mu: -((value - mu - offset) ** 2), observed=1.0, **options)
    return model


def of_types(value):
    with pm.Model() as model:
        pm.Potential("p", pm.Normal("x") * pt.sum(pt.constant(value)))
    return model


def repeated(n):
    """A diamond: what is used twice isn't the same as two that are alike."""
    with pm.Model() as model:
        x = [pm.Normal(f"x{place}") for place in range(2)]
        pm.Potential("p", x[0] * x[n])
    return model


def named(**options):
    with pm.Model(**options) as model:
        x = pm.Normal("x")
        pm.Deterministic("twice", 2 * x)
    return model


VARIANTS = {
    "scan": [lambda n=n: scanned(n) for n in (0.5, 0.25)] + [lambda: scanned(0.5, 5)],
    "OpFromGraph": [lambda n=n: within_an_operation(n) for n in (2, 3)],
    "CustomDist with dist": [lambda n=n: walked(n) for n in (1, 2)],
    "LKJ": [lambda n=n: correlated(n) for n in (1, 2)],
    "CustomDist with logp": [lambda n=n: custom(n) for n in (0.0, 1.0)],
    "constants": [
        lambda v=v: of_types(v)
        for v in (
            *(np.float64(1), np.float32(1), np.int64(1), np.int8(1), np.bool_(1)),
            *(np.ones(1), np.ones((1, 1)), np.ones(2), np.array([1.0, np.nan]), np.array([np.nan, 1.0])),
        )
    ],
    "which variable": [lambda n=n: repeated(n) for n in (0, 1)],
    "parameter checks": [named, lambda: named(check_bounds=False)],
}


@pytest.mark.parametrize("kind", VARIANTS)
def test_variants_differ_and_each_is_itself_again(kind):
    digests = [[told(build()) for build in VARIANTS[kind]] for _ in range(2)]
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == len(digests[0])


def test_the_order_of_values_counts_and_so_do_names():
    described = Described()
    models = [described, replace(described, is_swapped=True), replace(described, first_name="w")]
    assert len({told(one.build()) for one in models}) == len(models)


def test_new_data_are_another_model_and_old_ones_the_old_one():
    model = Described(is_shared=True).build()
    before = told(model)
    with model:
        pm.set_data({"data": [0.5, 1.0, 2.0]})
        assert told(model) != before
        pm.set_data({"data": [0.5, 1.0, -0.0]})
    assert told(model) == before


def test_shapes_that_the_model_leaves_open_come_from_the_point():
    with pm.Model() as model:
        size = pm.Data("size", np.int64(3))
        pm.Normal("x", shape=size)
    digests = {of_model(model, {"x": np.zeros(n)}).text for n in (3, 4)}
    assert len(digests) == 2
    closed = Described().build()
    assert of_model(closed, closed.initial_point()).text == told(closed)


class Own(Op):
    """An operation of one's own, with state that no property tells."""

    __props__ = ()

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, _node, inputs, outputs):
        outputs[0][0] = inputs[0] * 2


def with_own_operation():
    with pm.Model() as model:
        pm.Potential("p", Own()(pm.Normal("x")))
    return model


def test_where_nothing_is_kept_nothing_is_hashed(monkeypatch):
    monkeypatch.setenv("FIRSTGRAD_CACHE", "0")
    assert of_model(object()).reason == "FIRSTGRAD_CACHE switches it off"


def test_an_operation_of_ones_own_has_no_digest_and_says_so():
    made = of_model(with_own_operation())
    assert not made.text
    assert "Own is code of your own" in made.reason


def test_an_operation_with_a_gradient_of_ones_own_has_none():
    inner = pt.dscalar()
    op = OpFromGraph([inner], [inner**2], pullback=lambda *_: [pt.zeros(())])
    with pm.Model() as model:
        pm.Potential("p", -op(pm.Normal("x")))
    assert "code of your own" in of_model(model).reason


def test_a_model_class_of_ones_own_is_told_by_its_log_density_alone():
    class Doubled(pm.Model):
        def logp(self, *args, **options):
            return 2 * super().logp(*args, **options)

    with Doubled() as model:
        pm.Normal("x")
    with pm.Model() as plain:
        pm.Normal("x")
    made = of_model(model)
    assert made.text
    assert not made.is_whole
    assert made.text not in (told(plain), of_model(with_own_operation()).text)


def test_what_ones_own_code_writes_is_what_is_hashed():
    cells = [0.0]

    def density(value, mu):
        return -((value - mu - cells[0]) ** 2)

    def build():
        with pm.Model() as model:
            pm.CustomDist("y", pm.Normal("mu"), logp=density, observed=1.0)
        return model

    before = told(build())
    cells[0] = 1.0  # the same code, another answer
    assert told(build()) != before


def test_a_density_that_somebody_registered_for_a_librarys_class_isnt_overlooked():
    before = told(Described().build())
    dispatcher = probes.DISPATCHERS["logprob"].find()
    kind = type(pm.Laplace.rv_op)
    librarys = dispatcher.dispatch(kind)

    def own(op, values, *inputs, **options):
        return 2 * librarys(op, values, *inputs, **options)

    dispatcher.register(kind, own)
    try:
        after = of_model(Described(other="Laplace").build())
        # Even the model that has none of it: who registers one may register more.
        assert not of_model(Described().build()).is_whole
    finally:
        dispatcher.register(kind, librarys)
    assert not after.is_whole
    assert after.text != told(Described(other="Laplace").build())
    assert told(Described().build()) == before


def test_settings_releases_and_the_processor_count(monkeypatch):
    model = Described().build()
    seen = [told(model)]
    for name, value in (("XLA_FLAGS", "--xla_cpu_enable_fast_math=true"), ("TF_XLA_FLAGS", "x")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            seen.append(told(model))
    with pytensor.config.change_flags(floatX="float32"):
        seen.append(told(model))
    import jax

    with jax.default_matmul_precision("bfloat16"):
        seen.append(told(model))
    for name in ("numpy", "pymc", "pytensor", "jax", "jaxlib"):
        with monkeypatch.context() as patch:
            patch.setattr(f"{name}.__version__", "0.0.1")
            digest._releases.cache_clear()
            seen.append(told(model))
        digest._releases.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(digest, "_processor", lambda: ["another one"])
        seen.append(told(model))
    assert told(model) == seen[0]
    assert len(set(seen)) == len(seen)


def test_a_library_that_was_changed_since_the_process_began_has_no_digest(monkeypatch, tmp_path):
    (tmp_path / "core.py").write_text("")
    monkeypatch.setattr(digest, "_LIBRARIES", frozenset({"patched"}))
    monkeypatch.setattr(digest, "_PATCHED", frozenset({"patched"}))
    library = types.ModuleType("patched")
    library.__path__ = [str(tmp_path)]
    monkeypatch.setitem(digest.sys.modules, "patched", library)
    releases = digest._releases.__wrapped__
    stat = (tmp_path / "core.py").stat()
    monkeypatch.setattr(digest, "_began", lambda: stat.st_mtime_ns + 1)
    before = releases()
    (tmp_path / "more.py").write_text("x = 1")
    monkeypatch.setattr(digest, "_began", lambda: (tmp_path / "more.py").stat().st_mtime_ns + 1)
    assert releases() != before
    monkeypatch.setattr(digest, "_began", lambda: stat.st_mtime_ns - 1)
    with pytest.raises(digest._UncertainError, match="patched was changed since this process began"):
        releases()


def test_no_two_of_many_are_alike():
    models = [build for several in VARIANTS.values() for build in several]
    digests = [told(build()) for build in models]
    same = [pair for pair in itertools.combinations(range(len(digests)), 2) if digests[pair[0]] == digests[pair[1]]]
    assert not same
