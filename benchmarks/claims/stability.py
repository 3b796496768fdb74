"""(vii) Training a diffusion model is stable; training a GAN is not."""

import matplotlib.pyplot as plt
import numpy as np
from baselines import GAN, matched
from claim import Scale, Verdict, curve, plain, pm
from lab import BATCH, diffusion, grid, parameters, sample

from demist.evaluation.metrics.sliced_wasserstein import sliced_wasserstein

CLAIM = "Diffusion trains stably, GANs do not"
RULE = (
    "holds if the distance after training spreads over seeds more than twice as much with both "
    "GANs as with diffusion; in part if with one"
)
NAMES = ("diffusion", "GAN", "R3GAN-style")
MARKS, SEEDS, POINTS = (0.25, 0.5, 0.75, 1.0), 5, 2000


def measure(scale: Scale) -> dict:
    """Distance to the data during training, over five seeds."""
    fresh = grid(POINTS, 1000).x
    floor = sliced_wasserstein(grid(POINTS, 1001).x, fresh, projections=64)

    def distance(x: np.ndarray) -> float:
        return sliced_wasserstein(x, fresh, projections=64)

    found: dict[str, list] = {name: [] for name in NAMES}
    for seed in range(SEEDS if scale.name != "smoke" else 2):
        data, steps = grid(20_000, 0), scale.toy_steps
        row: list[float] = []

        def look_at(state: object, pipeline: object, row: list = row, steps: int = steps) -> None:
            if state.step in {round(m * steps) for m in MARKS}:
                with state.ema.applied():
                    row.append(distance(sample(pipeline, POINTS, steps=20)))

        model = diffusion(data, seed, steps, max(16, scale.width // 2), look=look_at)
        found["diffusion"].append(row)
        size = parameters(model.denoiser)
        for name, modern in zip(NAMES[1:], (False, True), strict=True):
            gan = matched(lambda w, modern=modern: GAN(2, w, modern), size)
            found[name].append(curve_of(gan, data.x, seed, 3.0 * size * BATCH * steps, distance))
    return found | {"floor": floor}


def judge(numbers: dict) -> Verdict:
    last = {name: np.array(numbers[name])[:, -1] for name in NAMES}
    spread = {name: values.std(ddof=1) for name, values in last.items()}
    calm = [spread[name] > 2 * spread["diffusion"] for name in NAMES[1:]]
    worst = max(values.max() / values.mean() for values in last.values())
    return Verdict(
        "holds" if all(calm) else "holds in part" if any(calm) else "fails",
        f"Sliced Wasserstein distance to 25 Gaussians after training, ± over "
        f"{len(last['diffusion'])} seeds of training: "
        + ", ".join(
            f"{name} {pm(v, 3)} (spread {100 * spread[name] / v.mean():.0f} % of the mean)"
            for name, v in last.items()
        )
        + f"; real points {numbers['floor']:.3f}. The worst seed of any model is {worst:.2f} times "
        f"the mean of its kind{': no training broke down' if worst < 1.5 else ''}.",
    )


def draw(numbers: dict) -> plt.Figure:
    figure, axis = plt.subplots(figsize=(6, 4))
    for name in NAMES:
        curve(axis, MARKS, np.array(numbers[name]), name)
    axis.axhline(numbers["floor"], color="k", ls="--", label="real data")
    axis.set(xlabel="part of the training", ylabel="sliced Wasserstein distance", xticks=MARKS)
    plain(axis, "y", (0.05, 0.07, 0.1, 0.15, 0.2))
    axis.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.98), ncols=2)
    return figure


def curve_of(gan: GAN, x: np.ndarray, seed: int, work: float, distance: object) -> list[float]:
    """The distance at each mark of the training."""
    row: list[float] = []

    def look(model: GAN, done: float) -> None:
        if len(row) < len(MARKS) and done >= MARKS[len(row)]:
            row.append(distance(model.sample(POINTS, 0)))

    gan.fit(x, seed, work, look)
    return row
