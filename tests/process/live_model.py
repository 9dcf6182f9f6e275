"""A user's script with a live model that leaves nothing out: prints what firstgrad's functions give, as JSON."""

import json
import sys
import threading

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.jax.dispatch import jax_funcify

import firstgrad
from firstgrad.backends.live import pack


class Halved(Op):
    def __init__(self, helper=None):
        self.helper = helper

    def make_node(self, x):
        return Apply(self, [pt.as_tensor_variable(x)], [pt.dscalar()])

    def perform(self, _node, inputs, outputs):
        outputs[0][0] = np.asarray(inputs[0] / 2)

    def pullback(self, _inputs, _outputs, gradients):
        return [gradients[0] / 2]

    L_op = grad = lambda self, inputs, outputs, gradients: self.pullback(inputs, outputs, gradients)


@jax_funcify.register(Halved)
def halved_in_jax(_op, **_):
    return lambda x: x / 2


def build(helper=None, steps=600):
    with pm.Model() as model:
        level = pm.Normal("level")
        total = 0.0
        for step in range(steps):  # deeper than Python's stack
            total = total + level * step / steps**2
        pm.CustomDist("gap", level, logp=lambda value, mu: -((value - mu) ** 2), observed=np.zeros(3))
        pm.CustomDist(
            "wait", level, dist=lambda mu, size: mu + pm.Exponential.dist(1.0, size=size), observed=np.full(2, 9.0)
        )
        known = pm.Data("known", np.arange(3.0))
        pm.Potential("term", -((total + Halved(helper)(level) + known.sum()) ** 2))
    return model


def main():
    slow = build()
    measured = firstgrad.measure(slow, backend="jax", evaluations=3, progress=False)
    (record,) = measured.records
    broken = {}
    lock = threading.Lock()
    for name, helper in {"lock": lock, "closure": lambda: [lock.acquire()]}.items():
        try:
            firstgrad.measure(build(helper, steps=2), backend="fake")
        except firstgrad.SpecError as error:
            broken[name] = str(error)
    answers = {
        "model": record.case.model.reference,
        "digests": [record.environment.source_digest, pack(build()).digest, pack(build(steps=599)).digest],
        "status": record.status,
        "failure": record.failure and record.failure.message,
        "slope": record.check.slope and record.check.slope.differs,
        "groups": record.counts and record.counts.groups,
        "repr": repr(measured),
        "html": measured._repr_html_(),
        "markdown": measured.to_markdown(),
        "frame": measured.to_dataframe()[["reference", "backend", "status"]].to_dict("records"),
        "figure": type(measured.plot()).__name__,
        "broken": broken,
    }
    sys.stdout.write(f"\n{json.dumps(answers)}\n")


if __name__ == "__main__":
    main()
