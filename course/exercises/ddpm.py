"""Exercise 2: DDPM on MNIST, with the linear schedule and all 1000 steps."""

import numpy as np

from demist import runs
from demist.course import images
from exercises.work import PLAIN, Found, Work, draw

CONFIGURATION = {
    "data": "MNIST",
    "train": PLAIN
    | {"schedule": "ddpm-linear", "parameterization": "eps", "weight": "simple", "steps": 3200},
    "sampling": {"solver": "ddpm", "grid": "uniform", "steps": 1000},
    "n": 500,
}


def do(work: Work) -> Found:
    """Train, draw a page of digits, and measure others."""
    run, how = work.train("exercise-2", **work.asked["train"]), work.asked["sampling"]
    page = work.out / f"{work.file.stem}.npy"
    if not page.exists():
        np.save(page, draw(run, [str(k) for k in range(10)] * 6, seed=0, **how))
    found = {
        "real": work.once("real", work.floor),
        "samples": work.once("samples", lambda: work.quality(run, **how)),
        "loss": round(runs.read_metrics(run.metrics)[-1]["loss"], 4),
    }
    alt = (
        "Six rows of the digits 0 to 9, made from noise in 1000 steps, a digit in each column; they are read at "
        "a glance."
    )
    return found, images(np.load(page), columns=10, scale=2), alt
