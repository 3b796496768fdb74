"""Exercise 3: the linear, cosine and sigmoid schedule on MNIST, several networks of each."""

from typing import Any

import numpy as np

from demist import runs
from demist.course import COLOURS, figure
from exercises.work import PLAIN, Found, Work

CONFIGURATION = {
    "data": "MNIST",
    "train": PLAIN
    | {
        "parameterization": "v",
        "weight": "v",
        "size": 16,
        "channels_per_level": [16, 32],
        "steps": 1000,
    },
    "schedules": {"linear": "ddpm-linear", "cosine": "ddpm-cosine", "sigmoid": "sigmoid"},
    "seeds": [0, 1, 2],
    "sampling": {"solver": "ddim", "grid": "uniform"},
    "counts": [10, 50, 100],
    "n": 500,
}
INK = {"linear": COLOURS["noise"], "cosine": COLOURS["data"], "sigmoid": COLOURS["model"]}


def do(work: Work) -> Found:
    """Train nine networks that differ in schedule and seed only, and measure each three times."""
    asked = work.asked
    found: dict[str, Any] = {"counts": asked["counts"], "real": work.once("real", work.floor)}
    for name in asked["schedules"]:
        found[name] = {"losses": [], "fdr": [], "accuracy": []}
    for seed in asked["seeds"]:
        for name, schedule in asked["schedules"].items():
            options = asked["train"] | {"schedule": schedule, "seed": seed}
            run = work.train(f"exercise-3-{name}-{seed}", **options)
            rows = [
                work.once(f"{name}, seed {seed}, {count} steps", measuring(work, run, count))
                for count in asked["counts"]
            ]
            found[name]["losses"].append(smooth(runs.read_metrics(run.metrics)))
            for key in ("fdr", "accuracy"):
                found[name][key].append([one[key] for one in rows])
    alt = (
        "Left, the loss of three schedules falls, of linear least. Right, the FDr after 10, 50 and 100 steps: a "
        "bar for each schedule, a dot for each network."
    )
    return found, picture(found, asked), alt


def measuring(work: Work, run: runs.Run, steps: int) -> Any:
    """A function that measures a network with so many steps."""
    return lambda: work.quality(run, steps=steps, **work.asked["sampling"])


def smooth(lines: list[dict[str, Any]], parts: int = 20) -> list[list[float]]:
    """The loss over the steps of training: means of some parts."""
    some = np.array_split(np.array([(line["step"], line["loss"]) for line in lines]), parts)
    return [[round(float(p[:, 0].mean())), round(float(p[:, 1].mean()), 4)] for p in some if len(p)]


def picture(found: dict[str, Any], asked: dict[str, Any]) -> Any:
    """Curves of training, and quality after few and many steps."""
    pages, (left, right) = figure(2, height=3.0)
    for k, name in enumerate(asked["schedules"]):
        losses = np.array(found[name]["losses"])  # (seeds, parts, 2)
        step, loss = losses[0, :, 0], losses[:, :, 1]
        left.plot(step, loss.mean(0), color=INK[name], label=name)
        left.fill_between(step, loss.min(0), loss.max(0), color=INK[name], alpha=0.2, linewidth=0)
        for c, values in enumerate(np.array(found[name]["fdr"]).T):
            place = c + 0.25 * (k - 1)
            right.bar(place, values.mean(), 0.22, color=INK[name], alpha=0.35)
            right.plot([place] * len(values), values, "o", color=INK[name], markersize=4)
    plain(left, (0.15, 0.2, 0.3, 0.5))
    left.set(xlabel="step of training", title="training loss (mean and range)")
    left.legend()
    right.axhline(1, color=COLOURS["truth"], linestyle=":")
    places = range(len(asked["counts"]))
    plain(right, (1, 1.5, 2, 3, 4))
    right.set(xticks=places, xticklabels=[f"{c} steps" for c in asked["counts"]])
    right.set_title("FDr of samples (dotted: real digits)")
    return pages


def plain(pane: Any, ticks: tuple[float, ...]) -> None:
    """A logarithmic axis with numbers as people write them."""
    pane.set(yscale="log", yticks=ticks, yticklabels=[f"{tick:g}" for tick in ticks])
    pane.minorticks_off()
