from firstgrad.asv import GradientBenchmarks


class Schools(GradientBenchmarks):
    model = "schools.model:build"
    parameters = {"schools": [8, 80]}
    backends = ["jax"]
    scenarios = ["cold", "warm"]
