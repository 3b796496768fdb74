"""(iii) Guidance has a sweet spot: a scale above 1 at which samples are best."""

import matplotlib.pyplot as plt
import numpy as np
from claim import Result, Scale, curve, paired, pm, save
from lab import as_images, digit_model, fdr, judge, reference, sample

from demist.evaluation.precision_recall import precision_recall
from demist.evaluation.vendi import vendi_score

SCALES = (0.0, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0)


def measure(scale: Scale) -> Result:
    """FDr, accuracy, precision, recall and variety over the guidance scale."""
    from lab import digits

    train = judge().features(as_images(digits().train.x[:: 10_000 // scale.samples]))
    asked = np.arange(scale.samples) % 10
    rows = []
    for seed in range(scale.seeds):
        model = digit_model(seed, scale.steps, scale.width)
        row = []
        for w in SCALES:
            x = sample(model, scale.samples, steps=20, guidance=w)
            seen = judge().features(as_images(x))
            near = precision_recall(train, seen)
            row.append([
                fdr(x), (judge().head(seen).argmax(1) == asked).mean(), near.precision,
                near.recall, vendi_score(seen - reference(scale.samples)[0].mean),
            ])  # fmt: skip
        rows.append(row)
    found = np.array(rows)
    titles = ("FDr", "label accuracy", "precision", "recall", "Vendi score")
    figure, axes = plt.subplots(1, 5, figsize=(16, 3.2))
    for i, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        curve(axis, SCALES, found[:, :, i], title)
        axis.set(xlabel="guidance scale w", title=title)
    distance, accuracy = found[:, :, 0], found[:, :, 1]
    best = int(distance.mean(0).argmin())
    gain, half = paired(distance[:, 1], distance[:, best])
    sweet = 1 < SCALES[best] < SCALES[-1] and gain > half
    verdict = "holds" if sweet else "fails"
    return Result(
        "Guidance has a sweet spot above 1",
        verdict,
        f"FDr is lowest at w = {SCALES[best]:g} ({pm(distance[:, best], 1)}; at w = 1 "
        f"{pm(distance[:, 1], 1)}, at w = 5 {pm(distance[:, -1], 1)}). Label accuracy goes from "
        f"{pm(accuracy[:, 1])} at 1 to {pm(accuracy[:, -1])} at 5, while recall goes from "
        f"{pm(found[:, 1, 3])} to {pm(found[:, -1, 3])}: each metric has its own best scale.",
        {"scales": SCALES, "fdr, accuracy, precision, recall, vendi": found.tolist()},
        save(figure, "guidance.png"),
    )
