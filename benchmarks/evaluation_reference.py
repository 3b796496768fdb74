"""Reference values of the evaluation at full size, and what the judge and the table cost.

    python benchmarks/evaluation_reference.py

1. Precision, recall, density and coverage of N(0, I_1000), 10,000 against 10,000, k = 5, over eight
   draws. The authors' example prints 0.477, 0.471, 1.056, 0.974 for one draw without a seed; the
   exact means of the last two are 1 and 0.969, and single draws spread far more than 0.01.
2. KL of perfect samples of 1000 equal modes, 25,600 of them: about (K - 1) / 2n = 0.0195.
3. The judge of the embedded digits over three seeds, and all metrics of a report.
"""

import time

import numpy as np

from demist.data import load
from demist.evaluation.classifier_training import train_classifier
from demist.evaluation.modes import count_modes, kl_floor, kl_to
from demist.evaluation.precision_recall import precision_recall
from demist.evaluation.report import evaluate


def main() -> None:
    rng = np.random.default_rng(0)
    found = []
    for seed in range(8):
        start = time.perf_counter()
        x, y = np.random.default_rng(seed).standard_normal((2, 10_000, 1000))
        found.append(list(vars(precision_recall(x, y, k=5)).values()))
        print(f"draw {seed}: {np.round(found[-1], 3)}, {time.perf_counter() - start:.0f} s")
    mean, spread = np.mean(found, 0).round(3), np.std(found, 0, ddof=1).round(3)
    print(f"N(0, I_1000), 10,000 against 10,000: mean {mean}, spread {spread}")

    kl = kl_to(count_modes(rng.integers(0, 1000, 25_600), 1000))
    print(
        f"1000 modes, 25,600 samples: KL {kl:.4f}, mean {kl_floor(25_600, np.full(1000, 1e-3)):.4f}"
    )

    train, test = load("digits"), load("digits", split="test")
    for seed in range(3):
        start = time.perf_counter()
        judge = train_classifier(
            train.x, train.labels, train.classes, seed=seed, test=(test.x, test.labels)
        )
        print(f"judge, seed {seed}: {time.perf_counter() - start:.1f} s; {judge.card}")

    start = time.perf_counter()
    noisy = (train.x + rng.normal(0, 10, train.x.shape)).round().clip(0, 255).astype(np.uint8)
    report = evaluate(judge, noisy, train.x, test.x, labels=train.labels, train_labels=train.labels)
    fdr = report["metrics"]["fdr"]["value"]
    print(f"report of 10,000 noisy digits: {time.perf_counter() - start:.1f} s, FDr {fdr:.1f}")


if __name__ == "__main__":
    main()
