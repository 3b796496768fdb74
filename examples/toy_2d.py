"""Two moons by hand: every part in plain sight, no run folder, no recipe.

Builds a denoiser from a network, a schedule and a parameterization, trains it with the generator
`fit`, and compares solvers at the same number of network evaluations.
"""

from pathlib import Path

import torch

from demist.codecs import Standardize
from demist.config import LimitsConfig, OptimizationConfig
from demist.core import Denoiser, Linear, Seeded, Velocity
from demist.data import load
from demist.drawing import scatter
from demist.evaluation.metrics.sliced_wasserstein import sliced_wasserstein
from demist.networks import MLP
from demist.objectives import LogitNormal, weights
from demist.samplers import DDIM, DPMpp2M, Heun, angular, sample
from demist.training.batches import Batches
from demist.training.fit import Denoising, fit
from demist.training.streams import Streams


def main(steps: int = 3000, folder: str = ".") -> dict[str, float]:
    data, fresh = load("moons"), load("moons", split="test")
    codec = Standardize.of(data.x)
    torch.manual_seed(0)
    denoiser = Denoiser(MLP(features=2, width=128, depth=3), Linear(), Velocity())

    batches = Batches(data.x, Streams(seed=0, n=len(data), batch_size=256), codec)
    options = OptimizationConfig(lr=2e-3, ema=0.995, precision="fp32")
    objective = Denoising(LogitNormal(), weights.VelocityWeight())
    for state in fit(
        denoiser, batches, objective=objective, options=options, limits=LimitsConfig(steps=steps)
    ):
        if state.step % 500 == 0:
            print(f"step {state.step}: loss {state.loss:.3f}")

    distances = {}
    start = Seeded(range(2000))(torch.empty(2000, 2))
    with state.ema.applied(), torch.inference_mode():
        for solver, n in ((DDIM(), 20), (DPMpp2M(), 20), (Heun(), 10)):
            grid = angular(n, denoiser.schedule)
            points = codec.decode(sample(denoiser, start, grid, solver)).numpy()
            distances[solver.name] = sliced_wasserstein(points, fresh.x)
            print(f"{solver.name:>9}: distance to fresh data {distances[solver.name]:.4f}")
    scatter(points, Path(folder) / "moons.png", limit=3.0)
    return distances


if __name__ == "__main__":
    main()
