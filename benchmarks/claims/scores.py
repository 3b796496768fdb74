"""(vi) Predicting the noise is learning the score."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from claim import Scale, Verdict, curve, plain, pm
from lab import diffusion, grid_centres

from demist.core.exact import Mixture
from demist.data import Dataset

CLAIM = "Predicting noise equals learning the score"
RULE = (
    "holds if the score by predicted noise errs by less than 30 %, averaged over t, and a network "
    "that predicts the score by as much, to within the sum of the spreads over seeds; in part if "
    "only the first"
)
KINDS = ("eps", "score")
SPREAD, LEVELS, POINTS = 0.15, (0.05, 0.1, 0.2, 0.4, 0.6, 0.8), 4000


def truth() -> Mixture:
    """25 Gaussians on a grid: their score is known in closed form at every noise level."""
    means = torch.from_numpy(grid_centres())
    return Mixture(torch.ones(25, dtype=torch.float64), means, SPREAD**2)


def measure(scale: Scale) -> dict:
    """Relative error of the score, for networks that predict noise and that predict the score."""
    exact = truth()
    found: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    for seed in range(scale.seeds):
        g = torch.Generator().manual_seed(seed)
        data = Dataset(exact.sample(20_000, g).float().numpy(), name="mixture")
        for kind in KINDS:
            model = diffusion(
                data, seed, scale.toy_steps, max(16, scale.width // 2), schedule="cosine",
                parameterization=kind, times="uniform", weight="simple",
            )  # fmt: skip
            found[kind].append([error(model, exact, t) for t in LEVELS])
    return found


def judge(numbers: dict) -> Verdict:
    rows = {kind: np.array(numbers[kind]) for kind in KINDS}
    mean = {kind: values.mean(1) for kind, values in rows.items()}
    same = abs(mean["eps"].mean() - mean["score"].mean()) < mean["eps"].std() + mean["score"].std()
    close = mean["eps"].mean() < 0.3
    return Verdict(
        "holds" if close and same else "holds in part" if close else "fails",
        f"-eps/sigma of a network that predicts noise differs from the exact score by "
        f"{pm(100 * rows['eps'][:, 0], 1)} % at t = {LEVELS[0]:g} and "
        f"{pm(100 * rows['eps'][:, 3], 1)} % at t = {LEVELS[3]:g} (RMS over the data's own "
        f"marginals); averaged over t {pm(100 * mean['eps'], 1)} %, for a network whose output is "
        f"the score itself {pm(100 * mean['score'], 1)} %. The loss is one and the same; the "
        f"networks differ by {100 * abs(mean['eps'].mean() - mean['score'].mean()):.1f} points.",
    )


def draw(numbers: dict) -> plt.Figure:
    figure, axis = plt.subplots(figsize=(6, 4))
    for kind in KINDS:
        curve(axis, LEVELS, np.array(numbers[kind]), f"network predicts {kind}")
    axis.set(xlabel="t", ylabel="relative RMS error of the score")
    plain(axis, "y", (0.01, 0.03, 0.1, 0.3, 1))
    axis.legend()
    return figure


@torch.no_grad()
def error(pipeline: object, exact: Mixture, t: float) -> float:
    """RMS difference of the scores over p_t, relative to the RMS of the exact score."""
    codec, model = pipeline.codec, pipeline.denoiser
    g = torch.Generator().manual_seed(99)
    x0 = codec.encode(exact.sample(POINTS, g).float())
    time = torch.tensor(t, dtype=torch.float64)
    alpha, sigma = (float(v) for v in model.schedule(time))
    x = alpha * x0 + sigma * torch.randn(x0.shape, generator=g)
    mean = torch.tensor(codec.mean, dtype=torch.float64)
    inner = Mixture(exact.weights, (exact.means - mean) / codec.std, SPREAD**2 / codec.std**2)
    eps = inner.posterior(x.double(), torch.tensor(alpha).double(), torch.tensor(sigma).double())[1]
    return float((model(x, time).eps - eps).square().mean().sqrt() / eps.square().mean().sqrt())
