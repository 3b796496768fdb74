"""(vii) Training a diffusion model is stable; training a GAN is not."""

import matplotlib.pyplot as plt
import numpy as np
from baselines import GAN, matched
from claim import Result, Scale, curve, pm, save
from lab import BATCH, diffusion, grid, parameters, sample

from demist.evaluation.sliced_wasserstein import sliced_wasserstein

MARKS, SEEDS, POINTS = (0.25, 0.5, 0.75, 1.0), 5, 2000


def measure(scale: Scale) -> Result:
    """Distance to the data during training, over five seeds."""
    fresh = grid(POINTS, 1000).x
    floor = sliced_wasserstein(grid(POINTS, 1001).x, fresh, projections=64)

    def distance(x: np.ndarray) -> float:
        return sliced_wasserstein(x, fresh, projections=64)

    found: dict[str, list[list[float]]] = {"diffusion": [], "GAN": [], "R3GAN-style": []}
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
        for name, modern in (("GAN", False), ("R3GAN-style", True)):
            gan = matched(lambda w, modern=modern: GAN(2, w, modern), size)
            found[name].append(curve_of(gan, data.x, seed, 3.0 * size * BATCH * steps, distance))
    rows = {name: np.array(values) for name, values in found.items()}
    figure, axis = plt.subplots(figsize=(6, 4))
    for name, values in rows.items():
        curve(axis, MARKS, values, name)
    axis.axhline(floor, color="k", ls="--", label="real data")
    axis.set(xlabel="part of the training", ylabel="sliced Wasserstein distance", yscale="log")
    axis.legend()
    spread = {name: values[:, -1].std(ddof=1) for name, values in rows.items()}
    calm = [spread[name] > 2 * spread["diffusion"] for name in ("GAN", "R3GAN-style")]
    return Result(
        "Diffusion trains stably, GANs do not",
        "holds" if all(calm) else "holds in part" if any(calm) else "fails",
        "Sliced Wasserstein distance to 25 Gaussians after training, mean ± spread over seeds: "
        + ", ".join(f"{name} {pm(values[:, -1], 3)}" for name, values in rows.items())
        + f"; real points {floor:.3f}. Nothing was tuned to one seed.",
        {name: values.tolist() for name, values in rows.items()} | {"floor": floor},
        save(figure, "stability.png"),
    )


def curve_of(gan: GAN, x: np.ndarray, seed: int, work: float, distance: object) -> list[float]:
    """The distance at each mark of the training."""
    row: list[float] = []

    def look(model: GAN, done: float) -> None:
        if len(row) < len(MARKS) and done >= MARKS[len(row)]:
            row.append(distance(model.sample(POINTS, 0)))

    gan.fit(x, seed, work, look)
    return row
