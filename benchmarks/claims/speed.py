"""(viii) Diffusion samples slowly; one-pass models are fast."""

import time

import matplotlib.pyplot as plt
import numpy as np
from baselines import GAN, MADE, VAE, matched
from claim import Result, Scale, pm, save
from lab import BATCH, digit_model, digits, fdr, parameters, sample

STEPS, REPEATS = (1, 2, 5, 10, 20, 50), 3


def measure(scale: Scale) -> Result:
    """Processor time for a sample against its quality, at equal parameters and training work."""
    times: dict[str, list[float]] = {}
    quality: dict[str, list[float]] = {}
    for seed in range(scale.seeds):
        model = digit_model(seed, scale.steps, scale.width)
        size = parameters(model.denoiser)
        work = 3.0 * size * BATCH * scale.steps
        rivals = {
            "R3GAN-style": lambda w: GAN(64, w, modern=True),
            "VAE": lambda w: VAE(64, w, noisy=False),
            "autoregressive": lambda w: MADE(64, w, 16, -1.0, 1.0),
        }
        makers = {
            f"diffusion, {n}": lambda n=n, model=model: sample(model, scale.samples, steps=n)
            for n in STEPS
        }
        for name, make in rivals.items():
            rival = matched(make, size)
            rival.fit(digits().train.x, seed, work)
            makers[name] = lambda rival=rival: rival.sample(scale.samples, 0)
        for name, make in makers.items():
            seconds, x = timed(make)
            times.setdefault(name, []).append(1e6 * seconds / scale.samples)
            quality.setdefault(name, []).append(fdr(x))
    figure, axis = plt.subplots(figsize=(6.5, 4))
    for name in times:
        axis.errorbar(
            np.mean(times[name]), np.mean(quality[name]), fmt="o", capsize=3,
            xerr=np.std(times[name], ddof=1), yerr=np.std(quality[name], ddof=1), label=name,
        )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="processor microseconds per sample", ylabel="FDr")
    axis.legend(fontsize=7)
    slower = np.mean(times["diffusion, 20"]) / np.mean(times["R3GAN-style"])
    rows = ("diffusion, 1", "diffusion, 5", "diffusion, 20", *list(times)[len(STEPS) :])
    return Result(
        "Diffusion samples slowly, one-pass models fast",
        "holds" if slower > 5 else "holds in part" if slower > 1.5 else "fails",
        "Processor microseconds for a sample, and FDr: "
        + ", ".join(f"{n} {pm(times[n], 0)} (FDr {pm(quality[n], 1)})" for n in rows)
        + f". Twenty steps cost {slower:.0f} times a pass of the GAN.",
        {"microseconds": times, "fdr": quality},
        save(figure, "speed.png"),
    )


def timed(make: object) -> tuple[float, np.ndarray]:
    """The least processor time of a few calls."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        x = make()
        best = min(best, time.process_time() - start)
    return best, x
