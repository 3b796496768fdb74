"""(vii) Training a diffusion model is stable; training a GAN is not."""

import matplotlib.pyplot as plt
import numpy as np
from claim import Scale, Verdict, curve, plain, pm
from lab import grid, grid_distance
from trained import LOOKED, MARKS, POINTS, modes_of, trained

CLAIM = "Diffusion trains stably, GANs do not"
RULE = (
    "holds if the distance after training spreads over seeds more than twice as much with both "
    "GANs as with diffusion, and more than the 95 % interval of the ratio (F test) leaves to "
    "chance; in part if with one"
)
NAMES = ("diffusion", "GAN", "R3GAN-style")
SEEDS = 5
CHANCE = {2: 25.45, 5: 3.10}
"""Seeds -> by what the ratio of two standard deviations may differ by chance, 95 %: root of F."""


def measure(scale: Scale) -> dict:
    """Distance to the data during training, over five seeds."""
    found: dict = {name: [] for name in NAMES} | {"stray": {name: [] for name in NAMES}}
    for seed in range(SEEDS if scale.name != "smoke" else 2):
        for name in NAMES:
            model = trained(name, "25-grid", seed, scale)
            found[name].append(model.curve)
            found["stray"][name].append(1 - modes_of("25-grid", model.draw(POINTS)).close)
    return found | {"floor": grid_distance(grid(LOOKED, 1001).x)}


def judge(numbers: dict) -> Verdict:
    last = {name: np.array(numbers[name])[:, -1] for name in NAMES}
    spread = {name: values.std(ddof=1) for name, values in last.items()}
    ratio = {name: spread[name] / spread["diffusion"] for name in NAMES[1:]}
    chance = CHANCE[len(last["diffusion"])]
    calm = [more > max(2, chance) for more in ratio.values()]
    worst = max(values.max() / values.mean() for values in last.values())
    return Verdict(
        "holds" if all(calm) else "holds in part" if any(calm) else "fails",
        f"Sliced Wasserstein distance to 25 Gaussians after training, ± over "
        f"{len(last['diffusion'])} seeds of training: "
        + ", ".join(
            f"{name} {pm(v, 3)} (spread {100 * spread[name] / v.mean():.0f} % of the mean)"
            for name, v in last.items()
        )
        + f"; real points {numbers['floor']:.3f}. "
        + "; ".join(
            f"{name} spreads {r:.1f} times as much as diffusion "
            f"({r / chance:.2g} to {r * chance:.2g})"
            for name, r in ratio.items()
        )
        + f".{strays(numbers)} The worst seed of any model is {worst:.2f} times "
        f"the mean of its kind{': no training broke down' if worst < 1.5 else ''}.",
    )


def strays(numbers: dict) -> str:
    """How many of the points lie beside the Gaussians, where that was measured."""
    if "stray" not in numbers:
        return ""
    rows = (f"{name} {100 * np.mean(v):.0f} %" for name, v in numbers["stray"].items())
    return f" Points that stray from the Gaussians: {', '.join(rows)}."


def draw(numbers: dict) -> plt.Figure:
    figure, axis = plt.subplots(figsize=(6, 4))
    for name in NAMES:
        curve(axis, MARKS, np.array(numbers[name]), name)
    axis.axhline(numbers["floor"], color="k", ls="--", label="real data")
    axis.set(xlabel="part of the training", ylabel="sliced Wasserstein distance", xticks=MARKS)
    plain(axis, "y", (0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1))
    axis.legend(fontsize=8, loc="center right", bbox_to_anchor=(1, 0.42))
    return figure
