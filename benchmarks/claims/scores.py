"""(vi) Predicting the noise is learning the score."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from claim import Result, Scale, curve, pm, save
from lab import diffusion, grid_centres

from demist.core.exact import Mixture
from demist.data import Dataset

SPREAD, LEVELS, POINTS = 0.15, (0.05, 0.1, 0.2, 0.4, 0.6, 0.8), 4000


def truth() -> Mixture:
    """25 Gaussians on a grid: their score is known in closed form at every noise level."""
    means = torch.from_numpy(grid_centres())
    return Mixture(torch.ones(25, dtype=torch.float64), means, SPREAD**2)


def measure(scale: Scale) -> Result:
    """Relative error of the score, for networks that predict noise and that predict the score."""
    exact = truth()
    found: dict[str, list[list[float]]] = {"eps": [], "score": []}
    for seed in range(scale.seeds):
        g = torch.Generator().manual_seed(seed)
        data = Dataset(exact.sample(20_000, g).float().numpy(), name="mixture")
        for kind in found:
            model = diffusion(
                data, seed, scale.toy_steps, max(16, scale.width // 2), schedule="cosine",
                parameterization=kind, times="uniform", weight="simple",
            )  # fmt: skip
            found[kind].append([error(model, exact, t) for t in LEVELS])
    rows = {kind: np.array(values) for kind, values in found.items()}
    figure, axis = plt.subplots(figsize=(6, 4))
    for kind, values in rows.items():
        curve(axis, LEVELS, values, f"network predicts {kind}")
    axis.set(xlabel="t", ylabel="relative RMS error of the score", yscale="log", ylim=(None, 2))
    axis.legend()
    mean = {kind: values.mean(1) for kind, values in rows.items()}
    same = abs(mean["eps"].mean() - mean["score"].mean()) < mean["eps"].std() + mean["score"].std()
    close = mean["eps"].mean() < 0.3
    return Result(
        "Predicting noise equals learning the score",
        "holds" if close and same else "holds in part" if close else "fails",
        f"-eps/sigma of a network that predicts noise differs from the exact score by "
        f"{pm(100 * rows['eps'][:, 0], 1)} % at t = {LEVELS[0]:g} and "
        f"{pm(100 * rows['eps'][:, 3], 1)} % at t = {LEVELS[3]:g} (RMS over the data's own "
        f"marginals); averaged over t {pm(100 * mean['eps'], 1)} %, for a network whose output is "
        f"the score itself {pm(100 * mean['score'], 1)} %. The loss is one and the same; what the "
        "network finds easy to represent is not.",
        {kind: values.tolist() for kind, values in rows.items()},
        save(figure, "scores.png"),
    )


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
