"""(i) DDIM needs 10 to 50 times fewer steps than DDPM for equal quality."""

import matplotlib.pyplot as plt
import numpy as np
from claim import Result, Scale, curve, pm, save
from lab import digit_model, fdr, sample

STEPS = {"DDIM": (5, 10, 20, 50, 100), "DDPM": (10, 20, 50, 100, 200, 500)}
SOLVERS = {"DDIM": "ddim", "DDPM": "ddim:eta=1"}


def measure(scale: Scale) -> Result:
    """FDr of both samplers over steps, from the same models."""
    models = [
        digit_model(seed, scale.steps, scale.width, "ddpm-linear") for seed in range(scale.seeds)
    ]
    found = {
        name: np.array(
            [
                [fdr(sample(m, scale.samples, steps=n, solver=SOLVERS[name], grid="trailing"))
                 for n in steps]
                for m in models
            ]
        )
        for name, steps in STEPS.items()
    }  # fmt: skip
    ratios = [speedup(found["DDIM"][i], found["DDPM"][i]) for i in range(scale.seeds)]
    figure, axis = plt.subplots(figsize=(6, 4))
    for name, steps in STEPS.items():
        curve(axis, steps, found[name], name)
    axis.set(xscale="log", yscale="log", xlabel="steps", ylabel="FDr (1 is held-out data)")
    axis.legend()
    low, high = min(ratios), max(ratios)
    verdict = "holds" if low >= 10 and high <= 50 else "holds in part" if high > 1.5 else "fails"
    best = {name: rows.min(1) for name, rows in found.items()}
    return Result(
        "DDIM is 10–50 times faster than DDPM at equal quality",
        verdict,
        f"DDIM with 10 steps has FDr {pm(found['DDIM'][:, 1], 1)}; DDPM reaches the same with "
        f"{pm(ratios, 1)} times as many steps. The best of any number of steps: DDIM "
        f"{pm(best['DDIM'], 1)}, DDPM {pm(best['DDPM'], 1)}.",
        {name: rows.tolist() for name, rows in found.items()} | {"ratios": ratios},
        save(figure, "ddim.png"),
    )


def speedup(ddim: np.ndarray, ddpm: np.ndarray, at: int = 1) -> float:
    """How many times 10 steps DDPM takes to be as good as DDIM with 10, between measured counts.

    Interpolated linearly in the logarithms; the largest count measured if it never gets there.
    """
    goal, counts = np.log(ddim[at]), np.log(STEPS["DDPM"])
    reached = np.flatnonzero(np.log(ddpm) <= goal)
    if not len(reached):
        return STEPS["DDPM"][-1] / STEPS["DDIM"][at]
    j = reached[0]
    if j == 0:
        return STEPS["DDPM"][0] / STEPS["DDIM"][at]
    a, b = np.log(ddpm[j - 1 : j + 1])
    between = counts[j - 1] + (counts[j] - counts[j - 1]) * (a - goal) / (a - b)
    return float(np.exp(between) / STEPS["DDIM"][at])
