"""Quality, obedience and variety against the guidance scale, for several rules.

    python benchmarks/guidance.py RUN_OR_FOLDER [--weak RUN_OR_FOLDER] [--n 1000] [--out FOLDER]

For every rule and scale: Fréchet distance to held-out data and recall in the features of an
offline classifier, label accuracy, and saturation: the share of pixels within 2 % of black or
white, minus that of real pictures. Also the time of guided over unguided sampling. Writes
guidance.md and guidance.png.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from demist.commands.judging import judge
from demist.commands.sampling import ModelOptions, classes_of, spread
from demist.core import Model
from demist.data import digits
from demist.evaluation.frechet import Moments, frechet_distance
from demist.evaluation.precision_recall import precision_recall
from demist.guidance import Autoguidance
from demist.pipeline import Pipeline

SCALES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 15.0)
RULES = {
    "cfg": {},
    "cfg in 0.2:0.8": {"guidance_interval": (0.2, 0.8)},
    "rescale": {"guidance_rule": "rescale"},
    "apg": {"guidance_rule": "apg"},
}
COLUMNS = ("FD", "accuracy %", "recall", "saturation %")


def saturation(images: np.ndarray) -> float:
    """Share of pixels within 2 % of either end of the range."""
    return float(((images <= 5) | (images >= 250)).mean())


def study(
    pipeline: Pipeline,
    weak: Pipeline | None,
    n: int,
    scales: tuple[float, ...],
    steps: int,
    rules: tuple[str, ...] = (),
) -> dict[str, list[tuple[float, ...]]]:
    """Rows of (scale, *COLUMNS) by rule."""
    train, test = digits(), digits("test")
    classifier = judge(train, test)
    real = classifier.features(test.x)
    labels = spread(classes_of(pipeline), n)
    asked = np.array([classes_of(pipeline).index(name) for name in labels])
    usual = saturation(test.x)

    def row(scale: float, images: np.ndarray) -> tuple[float, ...]:
        features = classifier.features(images)
        accuracy = float((classifier.head(features).argmax(1) == asked).mean())
        few = min(len(real), n)
        recall = precision_recall(real[:few], features[:few]).recall
        distance = frechet_distance(Moments.of(real), Moments.of(features))
        found = (scale, distance, 100 * accuracy, recall, 100 * (saturation(images) - usual))
        print("  ".join(f"{value:8.3f}" for value in found), flush=True)
        return found

    out: dict[str, list[tuple[float, ...]]] = {}
    for name, how in RULES.items():
        if rules and name not in rules:
            continue
        print(name, flush=True)
        out[name] = [
            row(w, pipeline.sample(n, label=labels, guidance=w, steps=steps, seed=1, **how))
            for w in scales
        ]
    if weak is not None:
        print("autoguidance", flush=True)
        other = weak.denoiser

        def against(w: float) -> Callable[[Model], Model]:
            return lambda model: Autoguidance(model, other, w)

        out["autoguidance"] = [
            row(
                w,
                pipeline.sample(
                    n, label=labels, guidance=1.0, guide=against(w), steps=steps, seed=1
                ),
            )
            for w in scales
            if w >= 1
        ]
    return out


def cost(pipeline: Pipeline, repeats: int = 7) -> float:
    """Processor time of guided over unguided sampling: the median over interleaved pairs."""
    ratios = []
    for _ in range(repeats):
        seconds = []
        for guidance in (1.0, 3.0):
            begun = time.process_time()
            pipeline.sample(32, label="3", guidance=guidance, steps=5)
            seconds.append(time.process_time() - begun)
        ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios)


def draw(found: dict[str, list[tuple[float, ...]]], path: Path) -> None:
    """One panel per column, one line per rule."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(COLUMNS), figsize=(14, 3.4))
    for i, (axis, title) in enumerate(zip(axes, COLUMNS, strict=True), 1):
        for name, rows in found.items():
            axis.plot([r[0] for r in rows], [r[i] for r in rows], "o-", markersize=3, label=name)
        axis.set(title=title, xlabel="guidance scale", xscale="log")
        axis.grid(alpha=0.3, which="both")
    axes[0].set_yscale("log")
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def table(found: dict[str, list[tuple[float, ...]]]) -> str:
    """All rows, and the best scale of each rule by FD."""
    lines = [
        "| rule | scale | " + " | ".join(COLUMNS) + " |",
        "|---|---:|" + "---:|" * len(COLUMNS),
    ]
    for name, rows in found.items():
        best = min(rows, key=lambda r: r[1])
        for r in rows:
            mark = " (best FD)" if r is best else ""
            values = f"{r[1]:.3f} | {r[2]:.1f} | {r[3]:.3f} | {r[4]:+.2f}"
            lines.append(f"| {name} | {r[0]:g}{mark} | {values} |")
    return "\n".join(lines) + "\n"


def main(a: argparse.Namespace) -> None:
    torch.set_num_threads(a.threads)
    options = ModelOptions()
    pipeline = options.open(a.model)
    ratio = cost(pipeline)
    print(f"guided / unguided processor time: {ratio:.2f}", flush=True)
    weak = options.open(a.weak) if a.weak else None
    found = study(pipeline, weak, a.n, tuple(a.scales), a.steps, tuple(a.rules))
    a.out.mkdir(exist_ok=True, parents=True)
    text = f"{a.n} samples, {a.steps} steps. Guided sampling takes {ratio:.2f} times the processor "
    text += f"time of unguided.\n\n{table(found)}"
    (a.out / "guidance.md").write_text(text)
    draw(found, a.out / "guidance.png")
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--weak")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--scales", type=float, nargs="*", default=list(SCALES))
    parser.add_argument("--rules", nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    main(parser.parse_args())
