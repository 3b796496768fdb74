"""A network learns the score of points in the plane, in seconds, for the page Field."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from demist.core import AngleClock, Denoiser, Exact, Mixture, V, make_schedule
from demist.errors import NotFiniteError, UsageError
from demist.io import files
from demist.networks import MLP
from demist.objectives import denoising_loss
from demist.objectives.weights import VWeight
from demist.studio import learned_score
from demist.studio.telling import Tell
from demist.training.ema import Ema, warmed_up

MOST_POINTS, MOST_STEPS = 500, 20_000
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Settings:
    """Train a small network on a mixture of Gaussians of one width."""

    points: list[tuple[float, float]] = field(default_factory=lambda: [(-1.0, 0.0), (1.0, 0.0)])
    """Where the Gaussians are."""
    width: float = 0.1
    """Their standard deviation."""
    schedule: str = "cosine"
    """From data to noise."""
    steps: int = 1500
    """Of training, each with 256 fresh points."""
    seed: int = 0
    """Of the weights and of all that is drawn."""


def run(settings: Settings, folder: Path, tell: Tell) -> None:
    """Train, show the averaged weights twenty times on the way, and keep the last ones.

    Raises:
        UsageError: A setting makes no sense.
        NotFiniteError: It does not learn.
    """
    check(settings)
    torch.manual_seed(settings.seed)
    schedule = make_schedule(settings.schedule)
    means = torch.tensor(settings.points, dtype=torch.float32)
    data = Mixture(torch.ones(len(means)), means, settings.width**2)
    net = MLP(features=2, width=64, depth=3)
    denoiser = Denoiser(net, schedule, V(), clock=AngleClock())
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=2e-3)
    ema = Ema(net, warmed_up(0.995))
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for step in range(1, settings.steps + 1):
        t = 1 - torch.rand(256, dtype=torch.float64)
        loss = denoising_loss(denoiser, data.sample(256), t, VWeight()).mean()
        optimizer.zero_grad()
        if not loss.isfinite():
            raise NotFiniteError(
                f"the loss is not finite at step {step}, so that nothing is learned; take other "
                f"points, another schedule or another width"
            )
        loss.backward()
        optimizer.step()
        rate.step()
        ema.update(step)
        if step % max(1, settings.steps // 20) == 0 or step == settings.steps:
            told = learned_score.write(
                folder / WEIGHTS, denoiser, ema.tensors, path=settings.schedule
            )
            tell.preview(WEIGHTS, told)
            tell.step(step, settings.steps, loss=round(loss.item(), 4))
    with ema.applied():
        files.write_json(folder / "learned.json", {"error": score_error(denoiser, data)})


def check(settings: Settings) -> None:
    """Whether the settings make sense.

    Raises:
        UsageError: One does not.
    """
    if not 1 <= len(settings.points) <= MOST_POINTS:
        raise UsageError(f"{len(settings.points)} points: give 1 to {MOST_POINTS}")
    if not all(abs(value) <= 100 for point in settings.points for value in point):
        raise UsageError("a point lies further than 100 from the middle; the data should be near 1")
    if not 0.01 <= settings.width <= 10:
        raise UsageError(f"width = {settings.width:g}: give a number between 0.01 and 10")
    if not 1 <= settings.steps <= MOST_STEPS:
        raise UsageError(f"steps = {settings.steps}: give 1 to {MOST_STEPS}")


@torch.no_grad()
def score_error(denoiser: Denoiser, data: Mixture) -> float:
    """Mean squared error of the noise against the exact denoiser's, over uniform times."""
    draw = torch.Generator().manual_seed(1)
    exact = Exact(data, denoiser.schedule)
    errors = []
    for t in torch.linspace(0.02, 1, 50, dtype=torch.float64):
        alpha, sigma = denoiser.schedule(t)
        x = alpha * data.sample(256, draw) + sigma * torch.randn(256, 2, generator=draw)
        errors.append((denoiser(x, t).eps - exact(x, t).eps).square().mean())
    return float(torch.stack(errors).mean())
