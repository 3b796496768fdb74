"""Training with a learned variance, through the options, and sampling with it."""

import numpy as np

from demist.config import TrainConfig, update
from demist.data import Dataset
from demist.samplers import make_solver
from demist.training.build import build
from demist.training.fit import fit


def test_learned_variance_by_options():
    rng = np.random.default_rng(0)
    data = Dataset(rng.normal(size=(256, 2)).astype(np.float32))
    values = {"variance_steps": 50, "steps": 30, "width": 16, "depth": 1, "batch_size": 64}
    e = build(update(TrainConfig(), values), data)
    losses = [
        state.loss
        for state in fit(
            e.pipeline.denoiser, e.batches, objective=e.objective,
            options=e.config.optimization, limits=e.config.limits,
        )
    ]  # fmt: skip
    assert np.isfinite(losses).all()
    x = e.pipeline.sample(8, solver="ddpm:variance=learned", grid="uniform", steps=50)
    assert x.shape == (8, 2)
    assert np.isfinite(x).all()
    assert make_solver("ddpm:variance=learned").stochastic
