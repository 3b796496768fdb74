"""(i) DDIM needs 10 to 50 times fewer steps than DDPM for equal quality.

Asked twice: of an exact denoiser (25 Gaussians, known at every noise level), where the steps are
the only source of error, and of the trained model of digits that comes along, whose network errs.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import shipped
import torch
from claim import Scale, Verdict, curve, plain, pm
from lab import grid_centres

from demist.core import Gaussian, Table, linear_betas
from demist.core.exact import Exact, Mixture
from demist.evaluation.metrics.sliced_wasserstein import sliced_wasserstein
from demist.samplers import make_grid, make_solver, sample

CLAIM = "DDIM is 10–50 times faster than DDPM at equal quality"
RULE = (
    "holds if DDPM takes 10 to 50 times as many steps as DDIM with 10, for the same distance, with "
    "every seed and each model that was measured; in part if at least 1.5 times with one of them"
)
STEPS = (5, 10, 20, 50, 100, 200, 500, 1000)
SOLVERS = {"DDIM": "ddim", "DDPM": "ddim:eta=1"}
SPREAD, POINTS = 0.1, 2000
TRAINED = (5, 10, 20, 50, 100, 200)
"""Steps of the trained model, where a thousand would take hours."""


def measure(scale: Scale) -> dict:
    """Distance to the data over steps, on the thousand-step linear schedule; seeds of sampling."""
    means = torch.from_numpy(grid_centres()).float()
    data = Mixture(torch.ones(25), means, SPREAD**2)
    model = Exact(data, Table.from_betas(linear_betas()))
    truth = data.sample(50_000, torch.Generator().manual_seed(1000)).numpy()
    found: dict[str, list] = {name: [] for name in (*SOLVERS, "floor")}
    for seed in range(scale.seeds):
        real = data.sample(POINTS, torch.Generator().manual_seed(seed)).numpy()
        found["floor"].append(sliced_wasserstein(real, truth, projections=32))
        for name, solver in SOLVERS.items():
            found[name].append([distance(model, solver, n, seed, truth) for n in STEPS])
    if scale.images:
        steps = TRAINED if scale.name != "smoke" else TRAINED[:2]
        found["trained"] = {name: [] for name in SOLVERS} | {"steps": steps}
        for seed in range(scale.seeds):
            for name, solver in SOLVERS.items():
                row = [of_digits(scale.images, solver, n, seed) for n in steps]
                found["trained"][name].append(row)
    return found


def of_digits(images: int, solver: str, steps: int, seed: int) -> float:
    """FDr of the trained model of digits, without guidance."""
    return shipped.fdr(
        shipped.images(images, seed, solver=solver, steps=steps, grid="trailing", guidance=1.0)
    )


def judge(numbers: dict) -> Verdict:
    rows = {name: np.array(numbers[name]) for name in SOLVERS}
    ratios = [speedup(a, b) for a, b in zip(rows["DDIM"], rows["DDPM"], strict=True)]
    goal = rows["DDPM"][:, -1].mean() + rows["DDPM"][:, -1].std(ddof=1)
    enough = {name: STEPS[int((v.mean(0) <= goal).argmax())] for name, v in rows.items()}
    said = (
        f"With the exact denoiser of 25 Gaussians, DDIM with 10 steps comes within "
        f"{pm(rows['DDIM'][:, 1], 3)} of the data (sliced Wasserstein distance; as many real "
        f"points {pm(numbers['floor'], 3)}), DDPM with 10 steps within "
        f"{pm(rows['DDPM'][:, 1], 3)}; DDPM takes {pm(ratios, 1)} times as many steps for the "
        f"same. To be within one standard deviation of DDPM with the thousand steps that it is "
        f"usually given ({pm(rows['DDPM'][:, -1], 3)}), DDIM takes {enough['DDIM']} steps and DDPM "
        f"{enough['DDPM']}. Nothing is trained here, ± is over seeds of sampling: the experiment "
        "sees errors of the steps, and none that a network makes."
    )
    found = [verdict(ratios)]
    if "trained" in numbers:
        more, sentence = of_trained(numbers["trained"])
        found.append(verdict(more))
        said += sentence
    holds = "holds" if set(found) == {"holds"} else "fails"
    return Verdict("holds in part" if holds == "fails" and set(found) != {"fails"} else holds, said)


def verdict(ratios: list[float]) -> str:
    """By `RULE`, of one model."""
    low, high = min(ratios), max(ratios)
    return "holds" if low >= 10 and high <= 50 else "holds in part" if low > 1.5 else "fails"


def of_trained(found: dict) -> tuple[list[float], str]:
    """How many times as many steps DDPM takes, seed by seed, and what was measured."""
    steps = found["steps"]
    rows = {name: np.array(found[name]) for name in SOLVERS}
    ratios = [speedup(a, b, steps) for a, b in zip(rows["DDIM"], rows["DDPM"], strict=True)]
    table = "; ".join(
        f"{name} " + " / ".join(pm(v[:, i], 1) for i in range(len(steps)))
        for name, v in rows.items()
    )
    lowest = {name: (steps[int(v.mean(0).argmin())], v.mean(0).min()) for name, v in rows.items()}
    best = ", ".join(f"{name} {fd:.1f} at {n}" for name, (n, fd) in lowest.items())
    return ratios, (
        f"\n\nOf the trained model of digits that comes along, FDr with "
        f"{' / '.join(map(str, steps))} steps: {table} (± over seeds of sampling). DDPM takes "
        f"{pm(ratios, 1)} times as many steps as DDIM with 10 for the same FDr. The lowest: {best}."
    )


def draw(numbers: dict) -> plt.Figure:
    trained = numbers.get("trained")
    figure, axes = plt.subplots(1, 1 + bool(trained), figsize=(6 + 5 * bool(trained), 4))
    axis = np.atleast_1d(axes)[0]
    for name in SOLVERS:
        curve(axis, STEPS, np.array(numbers[name]), name)
    axis.axhline(np.mean(numbers["floor"]), color="k", ls="--", label="real data, as many points")
    axis.set(xlabel="steps", ylabel="sliced Wasserstein distance", title="25 Gaussians, exact")
    plain(axis, "x", STEPS)
    plain(axis, "y", (0.02, 0.03, 0.05, 0.1, 0.2, 0.3))
    axis.legend()
    if trained:
        for name in SOLVERS:
            curve(axes[1], trained["steps"], np.array(trained[name]), name)
        axes[1].set(xlabel="steps", ylabel="FDr", title="digits, trained")
        plain(axes[1], "x", trained["steps"])
        plain(axes[1], "y", (1, 2, 3, 5, 10, 20, 50, 100))
        axes[1].legend()
    return figure


def distance(model: Exact, solver: str, steps: int, seed: int, truth: np.ndarray) -> float:
    """Sliced Wasserstein distance of samples to the data."""
    noise = Gaussian(torch.Generator().manual_seed(seed))
    grid = make_grid("trailing", steps, model.schedule)
    start = noise(torch.empty(POINTS, 2)) * float(model.schedule(grid[0])[1])
    x = sample(model, start, grid, make_solver(solver), noise)
    return sliced_wasserstein(x.numpy(), truth, projections=32)


def speedup(ddim: np.ndarray, ddpm: np.ndarray, steps: Sequence[int] = STEPS, at: int = 1) -> float:
    """How many times 10 steps DDPM takes to be as good as DDIM with 10, between measured counts.

    Interpolated linearly in the logarithms; the largest count measured if it never gets there.
    """
    goal, counts = np.log(ddim[at]), np.log(steps)
    reached = np.flatnonzero(np.log(ddpm) <= goal)
    if not len(reached):
        return steps[-1] / steps[at]
    j = reached[0]
    if j == 0:
        return steps[0] / steps[at]
    a, b = np.log(ddpm[j - 1 : j + 1])
    between = counts[j - 1] + (counts[j] - counts[j - 1]) * (a - goal) / (a - b)
    return float(np.exp(between) / steps[at])
