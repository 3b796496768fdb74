"""Exercise 5: classes of CIFAR-10 with 10 % label dropout, and the sweet spot of guidance."""

import io
from typing import Any

import numpy as np
from PIL import Image

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
    shown = sorted({asked["scales"][0], best, asked["scales"][-1]})
    alt = (
        "Above, over the guidance scale: the FDr has a valley, the share that is as asked for rises, the variety "
        "falls. Below, three images of each class for each of some scales: the stronger, the plainer and brighter."
    )
    page = drawn(run, classes, shown, asked["sampling"])
    return found | {"best": best}, stacked(curves(found), page), alt


def measuring(work: Work, run: runs.Run, scale: float) -> Any:
    """A function that measures a network with that guidance."""
    return lambda: work.quality(run, guidance=scale, **work.asked["sampling"])


def drawn(run: runs.Run, classes: list[str], scales: list[float], how: Any) -> Image.Image:
    """Three images of every class for each scale, from the same noise."""
    made = [draw(run, classes * 3, seed=3, guidance=w, **how) for w in scales]
    rows = [words for w in scales for words in (f"scale {w:g}", "", "")]
    words = {"rows_say": rows, "columns_say": classes}
    return image_grid(np.concatenate(made), columns=len(classes), scale=2, **words)


def curves(found: dict[str, Any]) -> Any:
    """Distance, obedience and variety over the scale."""
    scales = found["scales"]
    pages, (left, right) = figure(2, height=2.7)
    left.plot(scales, found["fdr"], "o-", color=COLOURS["other"])
    left.axhline(1, color=COLOURS["truth"], linestyle=":", linewidth=1)
    ticks = (1, 2, 5, 10, 20, 40)
    left.set(yscale="log", yticks=ticks, yticklabels=ticks, xlabel="guidance scale")
    left.set_title("FDr (dotted: real images)")
    left.minorticks_off()
    for name, words, colour in (
        ("accuracy", "as asked for", "data"),
        ("recall", "variety", "path"),
    ):
        right.plot(scales, [100 * v for v in found[name]], "o-", color=COLOURS[colour], label=words)
        right.axhline(100 * found["real"][name], color=COLOURS[colour], linestyle=":", linewidth=1)
    right.set(title="shares, % (dotted: real images)", xlabel="guidance scale", ylim=(0, 100))
    right.legend()
    return pages


def stacked(above: Any, below: Image.Image) -> Image.Image:
    """A figure, and an image below it."""
    out = io.BytesIO()
    above.savefig(out, format="png", dpi=110)
    top = Image.open(out).convert("RGB")
    page = Image.new("RGB", (max(top.width, below.width), top.height + below.height + 8), "white")
    page.paste(top, (0, 0))
    page.paste(below.convert("RGB"), ((page.width - below.width) // 2, top.height + 8))
    return page
