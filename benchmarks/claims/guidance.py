"""(iii) Guidance has a sweet spot: a scale above 1 at which samples are best."""

import matplotlib.pyplot as plt
import numpy as np
from claim import Scale, Verdict, curve, paired, pm
from lab import as_images, digit_model, digits, fdr, reference, sample
from lab import judge as classifier

from demist.evaluation.metrics.precision_recall import precision_recall
from demist.evaluation.metrics.vendi import vendi_score

CLAIM = "Guidance has a sweet spot above 1"
RULE = (
    "holds if FDr is lowest at a scale between 1 and the largest, and lower than at 1 beyond the "
    "95 % interval of the paired difference over seeds; else fails"
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
    return {"scales": SCALES, METRICS: rows}


def judge(numbers: dict) -> Verdict:
    found, scales = np.array(numbers[METRICS]), numbers["scales"]
    distance, accuracy, recall = found[:, :, 0], found[:, :, 1], found[:, :, 3]
    best, one = int(distance.mean(0).argmin()), scales.index(1.0)
    gain, half = paired(distance[:, one], distance[:, best])
    sweet = 1 < scales[best] < scales[-1] and gain > half
    return Verdict(
        "holds" if sweet else "fails",
        f"FDr is lowest at w = {scales[best]:g} ({pm(distance[:, best], 1)}; at w = 1 "
        f"{pm(distance[:, one], 1)}, at w = {scales[-1]:g} {pm(distance[:, -1], 1)}). Label "
        f"accuracy goes from {pm(accuracy[:, one])} at 1 to {pm(accuracy[:, -1])} at "
        f"{scales[-1]:g}, while recall goes from {pm(recall[:, one])} to {pm(recall[:, -1])}: each "
        "metric has its own best scale.",
    )


def draw(numbers: dict) -> plt.Figure:
    titles = ("FDr", "label accuracy", "precision", "recall", "Vendi score")
    figure, axes = plt.subplots(1, 5, figsize=(16, 3.2))
    for i, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        curve(axis, numbers["scales"], np.array(numbers[METRICS])[:, :, i], title)
        axis.set(xlabel="guidance scale w", title=title)
    return figure
