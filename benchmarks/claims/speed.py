"""(viii) Diffusion samples slowly; one-pass models are fast."""

import time

import matplotlib.pyplot as plt
import numpy as np
from claim import Scale, Verdict, plain, pm
from lab import fdr, sample
from trained import digit_model, trained

CLAIM = "Diffusion samples slowly, one-pass models fast"
RULE = "holds if twenty steps take more than 5 times a pass of the GAN; in part if 1.5 times"
ONE_PASS = ("R3GAN-style", "VAE")
STEPS, REPEATS = (1, 2, 5, 10, 20, 50), 3


def measure(scale: Scale) -> dict:
    """Processor time for a sample against its quality, at equal parameters and training work."""
    times: dict[str, list[float]] = {}
    quality: dict[str, list[float]] = {}
    for seed in range(scale.seeds):
        model = digit_model(seed, scale.steps, scale.width)
        makers = {
            f"diffusion, {n}": lambda n=n, model=model: sample(model, scale.samples, steps=n)
            for n in STEPS
        }
        for name in (*ONE_PASS, "autoregressive"):
            rival = trained(name, "digits", seed, scale)
            makers[name] = lambda rival=rival: rival.draw(scale.samples)
        for name, make in makers.items():
            seconds, x = timed(make)
            times.setdefault(name, []).append(1e6 * seconds / scale.samples)
            quality.setdefault(name, []).append(fdr(x))
    return {"microseconds": times, "fdr": quality}


def judge(numbers: dict) -> Verdict:
    times, quality = numbers["microseconds"], numbers["fdr"]
    means = {name: np.mean(values) for name, values in times.items()}
    slower = means["diffusion, 20"] / means["R3GAN-style"]
    best = min(np.mean(quality[name]) for name in ONE_PASS)
    enough = next((n for n in STEPS if np.mean(quality[f"diffusion, {n}"]) < best), None)
    shown = {f"diffusion, {n}": f"diffusion with {n} step{'s' * (n > 1)}" for n in (1, 5, 20)}
    shown |= {name: name for name in (*ONE_PASS, "autoregressive")}
    rows = (
        f"{words} {pm(times[name], 0)} µs (FDr {pm(quality[name], 1)})"
        for name, words in shown.items()
    )
    fewest = (
        "; no number of steps is better than the one-pass models"
        if enough is None
        else f"; but {enough} step{'s' * (enough > 1)}, "
        f"{means[f'diffusion, {enough}'] / means['R3GAN-style']:.0f} times its time, "
        f"{'are' if enough > 1 else 'is'} enough to be better than both one-pass models"
    )
    return Verdict(
        "holds" if slower > 5 else "holds in part" if slower > 1.5 else "fails",
        f"Processor time for a sample, and FDr: {', '.join(rows)}. Twenty steps cost {slower:.0f} "
        f"times a pass of the GAN{fewest}. The verdict is about speed alone.",
    )


def draw(numbers: dict) -> plt.Figure:
    figure, axis = plt.subplots(figsize=(6.5, 4.2))
    times, quality = numbers["microseconds"], numbers["fdr"]
    groups = {"diffusion, by steps": [f"diffusion, {n}" for n in STEPS]}
    groups |= {name: [name] for name in (*ONE_PASS, "autoregressive")}
    for label, names in groups.items():
        x, y = (np.array([table[name] for name in names]) for table in (times, quality))
        axis.errorbar(
            x.mean(1), y.mean(1), xerr=x.std(1, ddof=1), yerr=y.std(1, ddof=1), fmt="o-", ms=4,
            capsize=3, label=label,
        )  # fmt: skip
    for n in STEPS:
        at = [np.mean(table[f"diffusion, {n}"]) for table in (times, quality)]
        axis.annotate(str(n), at, xytext=(4, 6), textcoords="offset points", fontsize=8)
    axis.set(xlabel="processor time for a sample, µs", ylabel="FDr")
    plain(axis, "x", (1, 2, 5, 10, 20, 50, 100, 200, 500))
    plain(axis, "y", (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300))
    axis.legend()
    return figure


def timed(make: object) -> tuple[float, np.ndarray]:
    """The least processor time of a few calls."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        x = make()
        best = min(best, time.process_time() - start)
    return best, x
