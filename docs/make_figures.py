"""The figures of the documentation, made by the code they explain.

    python docs/make_figures.py [--model RUN_OR_FOLDER] [--out docs/images]

Without `--model` the figures that need only closed forms are made.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from demist.core import VP, Cosine, Seeded
from demist.core.exact import Exact, Mixture
from demist.samplers import Adams, make_grid, make_solver, sample, smooth, trajectory

SOLVERS = ("ddim", "heun", "dpmpp-2m", "dpmpp-3m", "unipc", "adams", "bayes")
BUDGETS = (5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160)


def mixture(dimensions: int, components: int, seed: int) -> Mixture:
    """A fixed mixture of Gaussians of different weights and widths."""
    g = torch.Generator().manual_seed(seed)
    f64 = torch.float64
    weights = torch.rand(components, generator=g, dtype=f64) + 0.3
    means = torch.randn(components, dimensions, generator=g, dtype=f64)
    widths = 0.05 + 0.25 * torch.rand(components, 1, generator=g, dtype=f64)
    return Mixture(weights, means, (widths**2).expand(-1, dimensions))


def error_against_evaluations(out: Path) -> None:
    """Error of each solver on its own grid, from pure noise to clean data."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axis, (dimensions, components) in zip(axes, ((2, 5), (64, 10)), strict=True):
        model = Exact(mixture(dimensions, components, 0), VP())
        schedule = model.schedule
        sigma = schedule(torch.ones((), dtype=torch.float64))[1]
        z = Seeded(range(256))(torch.empty(256, dimensions, dtype=torch.float64))
        truth = sample(model, sigma * z, smooth(1500, schedule), Adams())
        for name in SOLVERS:
            solver = make_solver(name)
            rows = []
            for budget in BUDGETS:
                steps = max(n for n in range(1, budget + 1) if solver.evaluations(n) <= budget)
                end = sample(model, sigma * z, make_grid(solver.grid, steps, schedule), solver)
                rows.append(float((end - truth).square().mean().sqrt()))
            axis.loglog(BUDGETS, rows, "o-", markersize=3, label=f"{name} (order {solver.order})")
        axis.set_title(f"{components} Gaussians in {dimensions} dimensions")
        axis.set_xlabel("network evaluations")
        axis.grid(alpha=0.3, which="both")
    axes[0].set_ylabel("RMS error against the exact flow")
    axes[0].legend(fontsize=8)
    save(figure, out / "error-vs-evaluations.png")


def paths(out: Path) -> None:
    """The same starts carried by the ODE and by the SDE, over the density of the marginals."""
    data = Mixture(torch.tensor([0.35, 0.65]), torch.tensor([[-1.5], [1.2]]), 0.06)
    model, n = Exact(data, Cosine()), 300
    grid = smooth(n, model.schedule)
    noise = Seeded(range(14))
    start = noise(torch.empty(14, 1))
    levels = torch.linspace(-3, 3, 400)
    density = torch.stack(
        [data.log_prob(levels[:, None], *model.schedule(t.float())).exp() for t in grid]
    )
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    titles = {"ddim": "probability-flow ODE", "ddim:eta=1": "reverse SDE"}
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        axis.pcolormesh(grid, levels, density.T, cmap="Blues", shading="gouraud", vmax=0.9)
        states = trajectory(model, start, grid, make_solver(name), noise)
        walk = torch.stack([start[:, 0], *(state.x[:, 0] for state in states)])
        axis.plot(grid, walk, color="black", linewidth=0.7, alpha=0.8)
        axis.set_title(title)
        axis.set_xlabel("t  (1 is noise, 0 is data)")
        axis.set_xlim(1, 0)
    axes[0].set_ylabel("x")
    save(figure, out / "ode-and-sde-paths.png")


def one_seed(out: Path, model: str) -> None:
    """Ten digits from one seed: a row of solvers, a column of step counts."""
    from demist.model import open_model

    pipeline = open_model(model)
    budgets, solvers = (3, 5, 10, 20, 50), ("ddim", "dpmpp-2m", "adams", "ddim:eta=1")
    figure, axes = plt.subplots(len(solvers), len(budgets), figsize=(10, 7.2))
    for row, name in zip(axes, solvers, strict=True):
        for axis, steps in zip(row, budgets, strict=True):
            images = pipeline.sample(
                10, label=list(range(10)), steps=steps, solver=name, guidance=1.5, seed=1,
            )  # fmt: skip
            tiles = images[:, 0].reshape(2, 5, *images.shape[2:]).transpose(0, 2, 1, 3)
            axis.imshow(tiles.reshape(2 * images.shape[2], -1), cmap="gray", vmin=0, vmax=255)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(f"{name}, {steps} steps", fontsize=8)
    save(figure, out / "one-seed.png")


def save(figure: plt.Figure, path: Path) -> None:
    """Write the figure and say where."""
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(path)


def main() -> None:
    """Make all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a run or saved model of digits, for `one_seed`")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    args = parser.parse_args()
    error_against_evaluations(args.out)
    paths(args.out)
    if args.model:
        one_seed(args.out, args.model)


if __name__ == "__main__":
    main()
