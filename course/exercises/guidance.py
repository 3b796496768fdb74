"""Exercise 5: classes of CIFAR-10 with 10 % label dropout, and the sweet spot of guidance."""

from typing import Any

import numpy as np

from demist import runs
from demist.course import COLOURS, figure
from demist.drawing import image_grid
from exercises.work import Found, Work, draw

CONFIGURATION = {
    "data": "CIFAR-10 (JPEG)",
    "train": {
        "size": 32, "channels": 3, "flip": True, "channels_per_level": [48, 96], "label_drop": 0.1,
        "lr": 1e-3, "batch_size": 64, "steps": 3600, "device": "cpu", "precision": "bf16",
    },
    "sampling": {"steps": 16},
    "scales": [1.0, 1.5, 2.0, 3.0, 4.0, 5.0],
    "n": 1000,
}  # fmt: skip


def do(work: Work) -> Found:
    """Train once, and measure samples with each scale."""
    asked = work.asked
    run = work.train("exercise-5", **asked["train"])
    real = work.once("real", work.floor)
    classes = work.once("classes", lambda: list(work.real().judge.card.classes))
    rows = [work.once(f"scale {w:g}", measuring(work, run, w)) for w in asked["scales"]]
    found = {"scales": asked["scales"], "real": real}
    found |= {name: [row[name] for row in rows] for name in ("fdr", "accuracy", "recall")}
    best = asked["scales"][int(np.argmin(found["fdr"]))]
    shown = (1.0, best if best > 1 else 2.0)
    alt = (
        "Above, the FDr over the guidance scale, and the shares that are as asked for and varied. Below, small "
        f"images of ten classes, a column each, with the guidance scales 1 and {shown[1]:g}."
    )
    return found | {"best": best}, picture(found, pages_of(run, classes, shown, asked)), alt


def measuring(work: Work, run: runs.Run, scale: float) -> Any:
    """A function that measures a network with that guidance."""
    return lambda: work.quality(run, guidance=scale, **work.asked["sampling"])


def pages_of(run: runs.Run, classes: list[str], scales: Any, asked: dict[str, Any]) -> Any:
    """For each scale images of every class, from the same noise."""
    return {
        w: draw(run, classes * 5, seed=3, guidance=w, **asked["sampling"]) for w in scales
    }, classes


def picture(found: dict[str, Any], pages: Any) -> Any:
    """Figures above, images below."""
    (drawn, classes), scales = pages, found["scales"]
    made, axes = figure(2, 2, height=4.9, height_ratios=[1.25, 1])
    (left, right), below = axes
    left.plot(scales, found["fdr"], "o-", color=COLOURS["other"])
    left.set(title="FDr (1 is real images)", xlabel="guidance scale", ylim=(0, None))
    for name, words, colour in (
        ("accuracy", "as asked for", "data"),
        ("recall", "variety", "path"),
    ):
        right.plot(scales, [100 * v for v in found[name]], "o-", color=COLOURS[colour], label=words)
        right.axhline(100 * found["real"][name], color=COLOURS[colour], linestyle=":", linewidth=1)
    right.set(title="shares, % (dotted: real images)", xlabel="guidance scale", ylim=(0, 100))
    right.legend()
    for pane, (w, x) in zip(below, drawn.items(), strict=True):
        pane.imshow(np.asarray(image_grid(x, columns=len(classes), scale=2)))
        pane.set(xticks=[], yticks=[], title=f"guidance scale {w:g}")
        pane.spines[:].set_visible(False)
    return made
