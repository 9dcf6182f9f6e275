"""A script that does nothing but compile: the gradient of a pose model with Numba, several times, in an empty cache."""

import sys

from firstgrad import PoseSpec, build_pose_model
from firstgrad.pose.data import generate

if __name__ == "__main__":
    for directions in range(1, int(sys.argv[1]) + 1):
        spec = PoseSpec(n_timesteps=5, n_directions=directions)
        data = generate(spec)
        gradient = build_pose_model(spec, data).compile_dlogp(mode="NUMBA")(data.initial)
        print(float(gradient.sum()).hex())
