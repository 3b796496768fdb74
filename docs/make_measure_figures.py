"""The figures and the table of "how do you measure a dream?", made by the code they explain.

    python docs/make_measure_figures.py [--out docs/images]

Generators with one known fault each are measured like a model: real held-out digits that are
copied, blurred, made noisy, robbed of a class or mislabelled. The table goes to standard output.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from demist.data import Dataset, load
from demist.evaluation.metrics import ImageMetric, rows_of
from demist.evaluation.reference import Reference
from demist.evaluation.report import Report, measure
from demist.measuring.judging import judge

SHOWN = ("fdr", "kid", "precision", "recall", "coverage", "vendi", "label_accuracy", "sharpness",
         "nearest_ratio", "copies", "authenticity")  # fmt: skip
HALF, TRAIN = 1000, 5000


def blurred(x: np.ndarray) -> np.ndarray:
    """Each pixel the mean of its 3 x 3 neighbourhood, weighted 1 2 1."""
    padded = np.pad(x.astype(float), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    rows = (padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]) / 4
    return as_bytes((rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4)


def as_bytes(x: np.ndarray) -> np.ndarray:
    """Rounded to 8 bits."""
    return np.rint(x).clip(0, 255).astype(np.uint8)


def generators(train: Dataset, held: Dataset) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> images and what they were asked to be. `held` is held out from the reference too."""
    rng = np.random.default_rng(0)
    x, y = held.x, held.labels
    chosen = rng.permutation(len(train))[: len(x)]
    copies, kept = train.x[chosen], np.flatnonzero(y < 8)
    kept = np.resize(kept, len(x))
    shifted = np.roll(copies, 1, axis=3)
    return {
        "a perfect model": (x, y),
        "a memoriser": (copies, train.labels[chosen]),
        "copies moved by a pixel": (shifted, train.labels[chosen]),
        "blur": (blurred(x), y),
        "noise, 10 of 255": (as_bytes(x + rng.normal(0, 10, x.shape)), y),
        "no 8 and no 9": (x[kept], y[kept]),
        "labels mixed up": (x, (y + (rng.random(len(y)) < 0.3)) % 10),
    }


def table(reports: dict[str, Report], floor: dict[str, float]) -> str:
    """A row for each generator."""
    known = rows_of(ImageMetric)
    titles = [known[name].title for name in SHOWN]
    lines = [f"| | {' | '.join(titles)} |", "|---|" + "---:|" * len(SHOWN)]
    rows = {name: {k: e["value"] for k, e in r["metrics"].items()} for name, r in reports.items()}
    for name, row in {**rows, "*real images*": floor}.items():
        cells = [f"{row[k]:.{known[k].digits if k != 'copies' else 2}f}" for k in SHOWN]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(
    made: dict[str, tuple[np.ndarray, np.ndarray]], reports: dict[str, Report], out: Path
) -> None:
    """Some images of each generator, its FDr and its nearest-neighbour ratio."""
    drawing, axes = plt.subplots(
        len(made), 2, figsize=(9, 6.6), width_ratios=(2.2, 1), squeeze=False
    )
    for (images, bars), (name, (x, _)) in zip(axes, made.items(), strict=True):
        images.imshow(np.concatenate(list(x[:16, 0]), axis=1), cmap="gray", vmin=0, vmax=255)
        images.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        images.set(xticks=[], yticks=[])
        metrics = reports[name]["metrics"]
        values = [metrics[k]["value"] for k in ("fdr", "nearest_ratio")]
        bars.barh(["FDr", "neighbour"], np.minimum(values, 3), color=["tab:blue", "tab:orange"])
        bars.axvline(1, color="k", linewidth=0.7)
        bars.set(xlim=(0, 3), xticks=[])
        bars.tick_params(labelsize=7)
        for i, value in enumerate(values):
            bars.text(min(value, 2.2) + 0.05, i, f"{value:.2f}", va="center", fontsize=7)
    drawing.tight_layout()
    drawing.savefig(out, dpi=110)


def main() -> None:
    """Measure every generator."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    args = parser.parse_args()
    train, test = load("digits"), load("digits", split="test")
    expert = judge(train, test)
    train = train.subset(np.random.default_rng(1).permutation(len(train))[:TRAIN])
    order = np.random.default_rng(2).permutation(len(test))
    held, test = test.subset(order[:HALF]), test.subset(order[HALF:])
    reference = Reference.of(
        expert, train.x, test.x, generated=HALF, train_labels=train.labels, test_labels=test.labels
    )
    made = generators(train, held)
    reports = {name: measure(reference, x, labels=y) for name, (x, y) in made.items()}
    print(f"{expert.card}\n")
    print(table(reports, reference.floor))
    figure(made, reports, args.out / "faults-and-metrics.png")
    print(args.out / "faults-and-metrics.png")


if __name__ == "__main__":
    main()
