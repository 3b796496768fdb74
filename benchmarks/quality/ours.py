"""demist: `demist train --recipe NAME`, its limit counted in processor seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import demist
from demist import recipes
from demist.config import update
from demist.data import Dataset
from demist.machine.precision import resolve_precision
from demist.model.pipeline import Pipeline
from demist.training.build import build
from demist.training.fit import fit

from .clock import CpuClock, Marks

VERSION = demist.__version__


SAMPLERS = {
    "adams": {"solver": "adams"},
    "dpmpp-2m": {"solver": "dpmpp-2m"},
    "dpmpp-2m, uniform": {"solver": "dpmpp-2m", "grid": "uniform"},
    "heun": {"solver": "heun"},
    "heun, even angles": {"solver": "heun", "grid": "angular:clean=1,noisy=1"},
    "sde-adams, even angles": {"solver": "sde-adams", "grid": "angular:clean=1,noisy=1"},
    "sde-dpmpp-2m, even angles": {"solver": "sde-dpmpp-2m", "grid": "angular:clean=1,noisy=1"},
    "ddpm, even angles": {"solver": "ddpm", "grid": "angular:clean=1,noisy=1"},
}
DISTILLED = {"as saved": {}, "once": {"solver": "ddpm", "grid": "1,0"}}
"""Of a model of few steps."""


class Contender:
    """One recipe, as `time_to_quality.py` wants it.

    Args:
        recipe: Name of a recipe.
    """

    def __init__(self, recipe: str) -> None:
        self.recipe = recipe
        self.samplers = list(SAMPLERS)

    def train(self, data: Dataset, budget: float, marks: list[float], seed: int, save) -> dict:
        """Train for `budget` processor seconds; `save(mark, step, write)` at each mark."""
        config = recipes.find(self.recipe).config()
        limits = {"budget": f"{budget:g}s", "steps": None, "images": None}
        config = update(config, {**limits, "seed": seed, "threads": torch.get_num_threads()})
        experiment = build(config, data)
        waiting, clock = Marks(marks), CpuClock()
        state = None
        for state in fit(
            experiment.pipeline.denoiser,
            experiment.batches,
            objective=experiment.objective,
            options=experiment.config.optimization,
            limits=experiment.config.limits,
            clock=clock,
        ):
            for mark in waiting.due(state.seconds, state.progress >= 1):
                facts = {**experiment.pipeline.facts, "step": state.step}
                with clock.paused(), state.ema.applied():
                    save(mark, state.step, replace(experiment.pipeline, facts=facts).save)
        assert state is not None
        return {
            "parameters": experiment.parameters,
            "steps": state.step,
            "images": state.images,
            "cpu_seconds": round(state.seconds, 1),
        }

    def open(self, checkpoint: Path) -> Pipeline:
        """The pipeline of a checkpoint."""
        return Pipeline.load(checkpoint)

    def sample(
        self, pipeline: Pipeline, sampler: str, labels: np.ndarray, steps: int, seed: int
    ) -> np.ndarray:
        """Images (n, c, h, w) in bytes for `labels`, unguided, by `steps` network evaluations."""
        how = (SAMPLERS | DISTILLED)[sampler]
        if how.get("solver") == "heun":  # asks twice a step
            steps //= 2
        names = pipeline.conditioner.conditions["label"].classes
        low = resolve_precision("auto", pipeline.denoiser.net) == "bf16"
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            return pipeline.sample(
                len(labels),
                **how,
                steps=steps,
                guidance=1.0,
                seed=seed,
                batch_size=248,
                label=[names[i] for i in labels],
            )
