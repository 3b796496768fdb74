"""One table for one set of generated images, beside what real images score.

The protocol, recorded with the numbers:

* Metrics that depend on the sample count are computed on equally many generated, test and training
  images, drawn at random; test images in place of generated ones give the floor, real against real.
* FDr = FD(generated, train) / FD(test, train) is the headline: 1 is as good as held-out images.
* Distances are to the whole training set; images are 8 bits before their features are taken.
* Closeness to training images is measured in pixels, against all training images.

`over_seeds` turns the reports of several seeds into mean and spread.
"""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from demist.errors import DataError
from demist.evaluation.extractors.features import quotient
from demist.evaluation.judge.classifier import Classifier
from demist.evaluation.metrics.accuracy import accuracy_of
from demist.evaluation.metrics.metric import Found, ImageMetric, rows_of
from demist.evaluation.reference import Reference, Seen

Report = dict[str, Any]
"""`protocol`: how it was measured; `metrics`: name -> {value, floor}; `classes`; `warnings`."""


def evaluate(
    judge: Classifier,
    generated: UInt8[np.ndarray, "g c h w"],
    train: UInt8[np.ndarray, "n c h w"],
    test: UInt8[np.ndarray, "m c h w"],
    *,
    labels: Int64[np.ndarray, "_"] | None = None,
    train_labels: Int64[np.ndarray, "_"] | None = None,
    test_labels: Int64[np.ndarray, "_"] | None = None,
    k: int = 5,
    seed: int = 0,
) -> Report:
    """Measure generated images in every way that arrays allow.

    For several sets of generated images make the `Reference` once, and `measure` each.

    Arguments:
        judge: its card goes into the report.
        generated: images of the model.
        train: images the model was trained on, all of them.
        test: held-out images of the same source.
        labels: what the generated images were asked to be.
        train_labels: for the proportions of classes; the judge's own by default.
        test_labels: for the floor of the label accuracy.
        k: neighbour for precision, recall, density and coverage.
        seed: of the random parts.

    Returns:
        A report that is plain JSON. A value that cannot be had is None.

    Raises:
        DataError: too few images, other shapes, or labels that do not fit.
    """
    reference = Reference.of(
        judge, train, test, generated=len(generated), train_labels=train_labels,
        test_labels=test_labels, k=k, seed=seed,
    )  # fmt: skip
    return measure(reference, generated, labels=labels, seed=seed)


def measure(
    reference: Reference,
    generated: UInt8[np.ndarray, "g c h w"],
    *,
    labels: Int64[np.ndarray, "_"] | None = None,
    seed: int = 0,
) -> Report:
    """Measure one set of generated images against a reference; see `evaluate`."""
    n, judge = reference.compared, reference.judge
    seen = Seen.of(generated, judge, reference.extractor)
    chosen = np.random.default_rng(seed).permutation(len(generated))[:n]
    found = Found(seen.part(chosen), seen, labels)
    value: dict[str, float] = {}
    for metric in reference.metrics(found):
        value |= metric(found, reference)
    table = None
    if labels is not None:
        accuracy = accuracy_of(seen.labels, labels, judge.card.classes)
        table = [asdict(row) for row in accuracy.classes]
    protocol = {
        "generated": len(generated),
        "train": len(reference.train),
        "test": len(reference.test),
        "compared": n,
        "reference": "train",
        "k": reference.k,
        "seed": seed,
        "features": reference.extractor.recipe,
        "judge": judge.recipe,
        "dimension": reference.extractor.dimension,
        "fdr_within_train": _finite(quotient(reference.within, reference.floor["fd"])),
    }
    metrics = {
        name: {"value": _finite(value.get(name)), "floor": _finite(reference.floor.get(name))}
        for name in rows_of(ImageMetric)
    }
    return {
        "protocol": protocol,
        "metrics": metrics,
        "classes": table,
        "warnings": _warnings(protocol, metrics, judge.card.accuracy),
    }


def over_seeds(reports: list[Report]) -> Report:
    """Mean and standard deviation (n - 1) of every value over the reports of several seeds.

    Raises:
        DataError: fewer than two reports, or reports of different judges or sizes.
    """
    if len(reports) < 2:
        raise DataError("A spread over seeds needs at least 2 reports.")
    ignored = {"seed"}
    protocols = [{k: v for k, v in r["protocol"].items() if k not in ignored} for r in reports]
    if any(protocol != protocols[0] for protocol in protocols):
        raise DataError("These reports were measured in different ways and have no common mean.")
    metrics = {}
    for name in reports[0]["metrics"]:
        values = [report["metrics"][name]["value"] for report in reports]
        known = None not in values
        metrics[name] = {
            "value": float(np.mean(values)) if known else None,
            "spread": float(np.std(values, ddof=1)) if known else None,
            "floor": reports[0]["metrics"][name]["floor"],
            "values": values,
        }
    return {
        "protocol": protocols[0] | {"seeds": [r["protocol"]["seed"] for r in reports]},
        "metrics": metrics,
        "classes": _mean_classes([r["classes"] for r in reports]),
        "warnings": list(dict.fromkeys(w for r in reports for w in r["warnings"])),
    }


def of_one(report: Report) -> Report:
    """The report of one seed in the form of `over_seeds`: without a spread."""
    both = over_seeds([report, report])
    for entry in both["metrics"].values():
        entry |= {"spread": None, "values": entry["values"][:1]}
    both["protocol"]["seeds"] = both["protocol"]["seeds"][:1]
    return both | {"classes": _mean_classes([report["classes"]])}


def _mean_classes(tables: list[list[Report] | None]) -> list[Report] | None:
    """Counts and accuracies of the classes over all seeds; all sets ask for the same classes."""
    rows = [row for table in tables if table is not None for row in table]
    if not rows:
        return None
    out = []
    for name in dict.fromkeys(row["name"] for row in rows):
        some = [row for row in rows if row["name"] == name]
        count = sum(row["count"] for row in some)
        right = sum(row["count"] * row["accuracy"] for row in some)
        mistakes = [row["mistaken_for"] for row in some if row["mistaken_for"]]
        out.append(
            {
                "name": name,
                "count": count,
                "accuracy": right / count,
                "mistaken_for": max(mistakes, key=mistakes.count) if mistakes else "",
            }
        )
    return out


def _warnings(protocol: Report, metrics: Report, accuracy: float | None) -> list[str]:
    n, found = protocol["compared"], []
    if n < 10_000:
        found.append(
            f"Bias: at N = {n} the Fréchet distance is too large by a term in 1/N; compare only "
            "values of the same N and the same features, or the limit N → ∞."
        )
    if n < 10 * protocol["dimension"]:
        found.append(
            f"Few samples: {n} images hardly determine covariances of "
            f"{protocol['dimension']} features; FDr is dominated by noise."
        )
    within = protocol["fdr_within_train"]
    fdr = metrics["fdr"]["value"]
    if fdr is None:
        found.append(
            "No FDr: held-out and training images are at Fréchet distance 0, as if they were the "
            "same; give --data with images of its own to test."
        )
    elif fdr < 0.9 and within is not None:
        found.append(
            "FDr is well below 1: the images are nearer to the training set than held-out ones. "
            "Either they are copies (see the rows on neighbours), or the test set comes from a "
            f"different source: training images against other training images have {within:.2f}."
        )
    if metrics["copies"]["value"] > 0.01 + 2 * metrics["copies"]["floor"]:
        found.append(
            f"Memorisation: {100 * metrics['copies']['value']:.1f} % of the images are copies of "
            "training images, so every distance to the training set flatters the model."
        )
    if accuracy is not None and accuracy < 0.9:
        found.append(
            f"Weak judge: the classifier is right on only {100 * accuracy:.1f} % of held-out "
            "images; train it longer before trusting its features."
        )
    return found


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
