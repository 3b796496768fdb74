"""Exercise 4: the guess of the noise is the score, exactly and for trained networks."""

from itertools import pairwise
from typing import Any

import torch
from torch import nn

import demist
from demist import Pipeline, runs
from demist.core import VP
from demist.core.exact import Exact, Mixture
from demist.course import COLOURS, figure
from exercises import ddpm
from exercises.work import Found, Work, data_of

CONFIGURATION = {
    "data": "MNIST",
    "times": [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    "mixture": {"steps": 20_000, "batch": 512, "width": 128, "lr": 3e-3, "points": 20_000},
    "digits": {"network": {"exercise": 2, **ddpm.CONFIGURATION}, "each": 30},
    "seed": 0,
}


def do(work: Work) -> Found:
    """Measure the error of the score over time, for a mixture and for digits."""
    asked, times = work.asked, work.asked["times"]
    known = work.once("mixture", lambda: of_mixture(asked))
    run = work.train("exercise-2", **asked["digits"]["network"]["train"])
    seen = work.once("digits", lambda: of_digits(run, asked))
    pages, (left, right) = figure(2, height=3.0)
    for pane, label, curve, colour in (
        (left, "network", known["error"], "path"),
        (left, "who forgets sigma", known["wrong"], "noise"),
        (right, "network", seen["network"], "model"),
        (right, "score of training digits", seen["training"], "truth"),
    ):
        pane.plot(times, [100 * v for v in curve], "o-", color=COLOURS[colour], ms=4, label=label)
        pane.set(xlabel="time t (0 is data, 1 is noise)", xlim=(0, 1), yscale="log")
    left.set(ylabel="error of the score, %", title="three heaps in the plane")
    right.set(ylabel="error of the noise, %", title="new digits, the network of exercise 2")
    left.legend()
    right.legend()
    alt = (
        "Left, the error of a network's score for three heaps is some per cent at all times. Right, the error of the "
        "noise in new digits: by the network and by the score of the training digits it is equal in much noise; in "
        "little noise the network's is far smaller."
    )
    return {"times": times, "mixture": known, "digits": seen}, pages, alt


def of_mixture(asked: dict[str, Any]) -> dict[str, Any]:
    """Three heaps: the exact guess of the noise, and that of a network, against the slope of the density.

    `exact`: the largest difference, times sigma; `error`: of the network, as a share, for each time;
    `wrong`: the same of who takes -eps for the score and forgets sigma.
    """
    how, chance, schedule = asked["mixture"], torch.Generator().manual_seed(asked["seed"]), VP()
    means = torch.tensor([[-1.3, -0.8], [1.3, -0.8], [0.0, 1.4]], dtype=torch.float64)
    data = Mixture(torch.ones(3, dtype=torch.float64), means, 0.25**2)
    guess = trained(data, how, schedule, chance, asked["seed"])
    exact, error, wrong = 0.0, [], []
    for t in torch.tensor(asked["times"], dtype=torch.float64):
        alpha, sigma = schedule(t)
        noise = torch.randn(how["points"], 2, generator=chance, dtype=torch.float64)
        x = (alpha * data.sample(how["points"], chance) + sigma * noise).requires_grad_()
        (slope,) = torch.autograd.grad(data.log_prob(x, alpha, sigma).sum(), x)
        best = Exact(data, schedule)(x, t).eps.detach()
        exact = max(exact, float((-best - sigma * slope).abs().max()))
        with torch.no_grad():
            eps = guess(x.float(), t.expand(len(x))).double()
        error.append(distance(-eps / sigma, slope))
        wrong.append(distance(-eps, slope))
    return {"exact": exact, "error": error, "wrong": wrong}


def trained(data: Mixture, how: dict[str, Any], schedule: VP, chance: Any, seed: int) -> Any:
    """A network that has learned to find the noise in the noisy points of a mixture."""
    torch.manual_seed(seed)
    sizes = [6, *[how["width"]] * 3]
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.SiLU())]
    net = nn.Sequential(*layers, nn.Linear(how["width"], 2))

    def guess(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma = (c.float()[:, None] for c in schedule(t))
        return net(torch.cat([x, alpha, sigma, sigma**2, sigma.log()], 1))

    optimiser = torch.optim.Adam(net.parameters(), lr=how["lr"])
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, how["steps"])
    for _ in range(how["steps"]):
        t = 0.01 + 0.99 * torch.rand(how["batch"], generator=chance, dtype=torch.float64)
        alpha, sigma = (c.float()[:, None] for c in schedule(t))
        x0, eps = (
            data.sample(how["batch"], chance).float(),
            torch.randn(how["batch"], 2, generator=chance),
        )
        loss = (guess(alpha * x0 + sigma * eps, t) - eps).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    return guess


@torch.no_grad()
def of_digits(run: runs.Run, asked: dict[str, Any]) -> dict[str, Any]:
    """Noisy new digits: the network's score, and the score of all noisy training digits of the class.

    The density of the training digits with noise is a sum of Gaussians, one for each of them, so its score is
    known. Of the true density of all digits that could be written nobody knows it.

    `error`: how far the two scores are apart, as a share; `network`, `training`: how far the guess of the noise
    that belongs to each is from the noise that was added.
    """
    path, pipeline = data_of(asked["data"]), Pipeline.from_run(run)
    train, test = (demist.load(path, split=part) for part in ("train", "test"))
    chance = torch.Generator().manual_seed(asked["seed"])
    rows: dict[str, list[float]] = {"error": [], "network": [], "training": []}
    for t in torch.tensor(asked["times"], dtype=torch.float64):
        alpha, sigma = pipeline.denoiser.schedule(t)
        found, best, added = [], [], []
        for k, name in enumerate(train.classes):
            known = pipeline.encode(train.x[train.labels == k]).flatten(1).double()
            x0 = pipeline.encode(test.x[test.labels == k][: asked["digits"]["each"]])
            noise = torch.randn(x0.shape, generator=chance)
            x = alpha.float() * x0 + sigma.float() * noise
            told = pipeline.conditioner.encode(len(x), {"label": [name] * len(x)})
            found.append(pipeline.denoiser(x, t, **told).eps.flatten(1).double())
            flat = x.flatten(1).double()
            far = torch.cdist(flat, alpha * known).square()
            guess = torch.softmax(-far / (2 * sigma**2), 1) @ known
            best.append((flat - alpha * guess) / sigma)
            added.append(noise.flatten(1).double())
        eps, right, true = torch.cat(found), torch.cat(best), torch.cat(added)
        rows["error"].append(distance(-eps / sigma, -right / sigma))
        rows["network"].append(distance(eps, true))
        rows["training"].append(distance(right, true))
    return rows


def distance(found: torch.Tensor, right: torch.Tensor) -> float:
    """Root mean square of the difference, as a share of that of what is right."""
    return round(float((found - right).square().mean().sqrt() / right.square().mean().sqrt()), 4)
