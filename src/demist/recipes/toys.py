"""Data in one and two dimensions: seconds to train, easy to see through."""

from demist.config import (
    DataConfig,
    LimitsConfig,
    NetworkConfig,
    OptimizationConfig,
    OutputConfig,
    TrainConfig,
)
from demist.recipes.recipe import Expectation, recipe


def _toy(name: str, steps: int = 4000) -> TrainConfig:
    return TrainConfig(
        data=DataConfig(path=name),
        network=NetworkConfig(network="mlp", width=128, depth=4),
        optimization=OptimizationConfig(lr=2e-3, batch_size=512, ema=0.995, precision="fp32"),
        limits=LimitsConfig(steps=steps),
        output=OutputConfig(sample_count=2000, sample_every="1000", sample_guidance=1.0),
    )


@recipe("moons")
def moons() -> TrainConfig:
    """Two interleaved half-circles, one class each."""
    return _toy("moons")


@recipe("spiral")
def spiral() -> TrainConfig:
    """One long arm: hard for few steps, since the flow must bend."""
    return _toy("spiral", 6000)


@recipe("25-gaussians")
def gaussians() -> TrainConfig:
    """A five by five grid of modes: none may be lost."""
    return _toy("25-gaussians")


@recipe("eight", Expectation("mean of samples", 7.99, 8.01))
def eight() -> TrainConfig:
    """The data set {8}: every sample must be 8."""
    return _toy("eight", 1000)
