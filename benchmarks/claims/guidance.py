"""(iii) Guidance has a sweet spot: a scale above 1 at which samples are best."""

import matplotlib.pyplot as plt
import numpy as np
import shipped
from claim import Scale, Verdict, curve, paired, pm
from lab import as_images, digits, fdr, reference, sample
from lab import judge as classifier
from trained import digit_model

from demist.evaluation.metrics.precision_recall import precision_recall
from demist.evaluation.metrics.vendi import vendi_score

CLAIM = "Guidance has a sweet spot above 1"
RULE = (
    "holds if FDr is lowest at a scale between 1 and the largest, and lower than at 1 beyond the "
    "95 % interval of the paired difference over seeds, with each kind of model that was measured; "
    "in part with one of them; else fails"
)
SCALES = (0.0, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0)
METRICS = "fdr, accuracy, precision, recall, vendi"


def measure(scale: Scale) -> dict:
    """FDr, accuracy, precision, recall and variety over the guidance scale."""
    train = classifier().features(as_images(digits().train.x[:: 10_000 // scale.samples]))
    asked = np.arange(scale.samples) % 10
    rows = []
    for seed in range(scale.seeds):
        model = digit_model(seed, scale.steps, scale.width)
        row = []
        for w in SCALES:
            x = sample(model, scale.samples, steps=20, guidance=w)
            seen = classifier().features(as_images(x))
            near = precision_recall(train, seen)
            right = (classifier().head(seen).argmax(1) == asked).mean()
            variety = vendi_score(seen - reference(scale.samples)[0].mean)
            row.append([fdr(x), float(right), near.precision, near.recall, variety])
        rows.append(row)
    found = {"scales": SCALES, METRICS: rows}
    if scale.images:
        found["trained"] = [
            [
                shipped.looked_at(shipped.images(scale.images, seed, steps=20, guidance=w))
                for w in SCALES
            ]
            for seed in range(scale.seeds)
        ]
    return found


def judge(numbers: dict) -> Verdict:
    sweet, said = spot(np.array(numbers[METRICS]), numbers["scales"])
    found = [sweet]
    said = f"{said}: each metric has its own best scale."
    if "trained" in numbers:
        sweet, more = spot(np.array(numbers["trained"]), numbers["scales"])
        found.append(sweet)
        said += (
            f"\n\nThe same of the trained model that comes along, of 28 x 28 pixels (± over seeds "
            f"of sampling): {more}."
        )
    return Verdict("holds" if all(found) else "holds in part" if any(found) else "fails", said)


def spot(found: np.ndarray, scales: list[float]) -> tuple[bool, str]:
    """Whether there is a sweet spot, and what was measured; `found` is (seeds, scales, metrics)."""
    distance, accuracy, recall = found[:, :, 0], found[:, :, 1], found[:, :, 3]
    best, one = int(distance.mean(0).argmin()), scales.index(1.0)
    gain, half = paired(distance[:, one], distance[:, best])
    return 1 < scales[best] < scales[-1] and gain > half, (
        f"FDr is lowest at w = {scales[best]:g} ({pm(distance[:, best], 1)}; at w = 1 "
        f"{pm(distance[:, one], 1)}, at w = {scales[-1]:g} {pm(distance[:, -1], 1)}). Label "
        f"accuracy goes from {pm(accuracy[:, one])} at 1 to {pm(accuracy[:, -1])} at "
        f"{scales[-1]:g}, while recall goes from {pm(recall[:, one])} to {pm(recall[:, -1])}"
    )


def draw(numbers: dict) -> plt.Figure:
    titles = ("FDr", "label accuracy", "precision", "recall", "Vendi score")
    figure, axes = plt.subplots(1, 5, figsize=(16, 3.2))
    for i, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        curve(axis, numbers["scales"], np.array(numbers[METRICS])[:, :, i], "8 x 8")
        if "trained" in numbers:
            found = np.array(numbers["trained"])[:, :, i]
            curve(axis, numbers["scales"], found, "28 x 28, comes along")
        axis.set(xlabel="guidance scale w", title=title)
    axes[0].legend()
    return figure
