"""Quality, obedience and variety against the guidance scale, for several rules.

    python benchmarks/guidance.py MODEL [--weak MODEL] [--classifier FILE] [--settle] [--n 1000]

For every rule and scale: Fréchet distance to held-out data and recall in the features of an
offline classifier, label accuracy, and saturation: the share of pixels within 2 % of black or
white, minus that of real pictures. The first row is real pictures, as many: the best that can be
had. `--settle` repeats CFG with three times the steps, since strong guidance makes the equation
stiff and a solver with too few steps adds errors of its own. A classifier of noisy images leads the
model that was told no class. Also the time of guided over unguided
sampling. Writes guidance.md and guidance.png.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from demist.core import Model
from demist.data import digits
from demist.evaluation.metrics.frechet import Moments, frechet_distance
from demist.evaluation.metrics.precision_recall import precision_recall
from demist.guidance import Autoguidance, Classifier
from demist.measuring.judging import judge
from demist.model.noisy_classifier import NoisyClassifier
from demist.model.pipeline import Pipeline
from demist.model.values import classes_of, spread

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0)
SETTLED = (2.0, 4.0, 8.0, 15.0)
"""Scales at which `--settle` looks."""
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


Rows = dict[str, list[tuple[float, ...]]]
"""Rows of (scale, *COLUMNS) by rule."""


class Study:
    """Measures samples of one model, asked for all classes equally.

    Args:
        pipeline: The model.
        n: Samples per row.
        steps: Of sampling.
    """

    def __init__(self, pipeline: Pipeline, n: int, steps: int):
        self.pipeline, self.n, self.steps = pipeline, n, steps
        train, test = digits(), digits("test")
        self.classifier = judge(train, test)
        self.real = self.classifier.features(test.x)
        self.usual = saturation(test.x)
        self.labels = spread(classes_of(pipeline), n)
        self.found: Rows = {}
        # Real pictures that the reference does not hold, as many of each class as are asked for.
        each = n // len(train.classes)
        kinds = range(len(train.classes))
        chosen = np.concatenate([np.flatnonzero(train.labels == k)[:each] for k in kinds])
        print("real", flush=True)
        self.found["real"] = [self.row(1.0, train.x[chosen], train.labels[chosen])]

    def row(self, scale: float, images: np.ndarray, asked: np.ndarray) -> tuple[float, ...]:
        features = self.classifier.features(images)
        accuracy = float((self.classifier.head(features).argmax(1) == asked).mean())
        few = min(len(self.real), len(images))
        recall = precision_recall(self.real[:few], features[:few]).recall
        distance = frechet_distance(Moments.of(self.real), Moments.of(features))
        more = saturation(images) - self.usual
        found = (scale, distance, 100 * accuracy, recall, 100 * more)
        print("  ".join(f"{value:8.3f}" for value in found), flush=True)
        return found

    def rule(self, name: str, scales: tuple[float, ...], **how: Any) -> None:
        """Add the rows of one rule, which samples with `how(scale)` or `how` itself."""
        print(name, flush=True)
        names = classes_of(self.pipeline)
        asked = np.array([names.index(label) for label in self.labels])
        rows = self.found[name] = []
        for w in scales:
            without = self.found.get("cfg", []) if "steps" not in how else []
            known = [r for r in without if r[0] == w == 1]  # the same for every rule
            if known:
                rows.append(known[0])
                continue
            settings = {"guidance": w, "steps": self.steps, "seed": 1}
            settings |= {k: v(w) if callable(v) else v for k, v in how.items()}
            images = self.pipeline.sample(self.n, label=self.labels, **settings)
            rows.append(self.row(w, images, asked))

    def by_classifier(self, made: NoisyClassifier, scales: tuple[float, ...]) -> None:
        """Add the rows of a classifier that leads the model, which is told no class itself."""
        print("classifier", flush=True)
        each = self.n // len(made.classes)
        asked = np.repeat(np.arange(len(made.classes)), each)
        self.found["classifier"] = []
        for w in scales:

            def towards(k: int, w: float = w) -> Callable[[Model], Model]:
                return lambda model: Classifier(model, made.towards(k), w)

            images = [
                self.pipeline.sample(each, guide=towards(k), steps=self.steps, seed=k)
                for k in range(len(made.classes))
            ]
            self.found["classifier"].append(self.row(w, np.concatenate(images), asked))


def study(a: argparse.Namespace, pipeline: Pipeline, weak: Pipeline | None) -> Rows:
    """All rows."""
    done = Study(pipeline, a.n, a.steps)
    scales = tuple(a.scales)
    for name, how in RULES.items():
        if not a.rules or name in a.rules:
            done.rule(name, scales, **how)
    if weak is not None:

        def against(w: float) -> Callable[[Model], Model]:
            return lambda model: Autoguidance(model, weak.denoiser, w)

        above = tuple(w for w in scales if w >= 1)
        done.rule("autoguidance", above, guide=against, guidance=lambda w: 1.0)
    if a.classifier:
        noisy = NoisyClassifier.load(a.classifier)
        noisy.require_fits(pipeline)
        done.by_classifier(noisy, tuple(w for w in (0.0, *scales) if w == 0 or w >= 1))
    if a.settle:
        done.rule(f"cfg, {3 * a.steps} steps", SETTLED, steps=3 * a.steps)
    return done.found


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


def draw(found: Rows, path: Path) -> None:
    """One panel per column, one line per rule; dashed: real pictures."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(COLUMNS), figsize=(14, 3.6))
    for i, (axis, title) in enumerate(zip(axes, COLUMNS, strict=True), 1):
        for name, rows in found.items():
            if name == "real":
                axis.axhline(rows[0][i], color="black", linestyle=":", linewidth=1, label=name)
                continue
            style = "x" if "steps" in name else "o-"
            shown = [r for r in rows if r[0] > 0]
            axis.plot([r[0] for r in shown], [r[i] for r in shown], style, markersize=4, label=name)
        axis.set(title=title, xlabel="guidance scale (1: none)", xscale="log")
        ticks = [0.5, 1, 2, 4, 8, 15]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_yscale("log")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=len(names), fontsize=9, frameon=False)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(path, dpi=100)
    plt.close(figure)


def table(found: Rows) -> str:
    """All rows, and the best scale of each rule by FD."""
    lines = [
        "| rule | scale | " + " | ".join(COLUMNS) + " |",
        "|---|---:|" + "---:|" * len(COLUMNS),
    ]
    for name, rows in found.items():
        best = min(rows, key=lambda r: r[1])
        for r in rows:
            mark = " (best FD)" if r is best and len(rows) > 1 else ""
            values = f"{r[1]:.3f} | {r[2]:.1f} | {r[3]:.3f} | {r[4]:+.2f}"
            scale = "-" if name == "real" else f"{r[0]:g}{mark}"
            lines.append(f"| {name} | {scale} | {values} |")
    return "\n".join(lines) + "\n"


def main(a: argparse.Namespace) -> None:
    torch.set_num_threads(a.threads)
    pipeline = open_model(a.model)
    ratio = cost(pipeline)
    print(f"guided / unguided processor time: {ratio:.2f}", flush=True)
    found = study(a, pipeline, open_model(a.weak) if a.weak else None)
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
    parser.add_argument("--classifier", type=Path)
    parser.add_argument("--settle", action="store_true")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--scales", type=float, nargs="*", default=list(SCALES))
    parser.add_argument("--rules", nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    main(parser.parse_args())
