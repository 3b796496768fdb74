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
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from demist.errors import DataError
from demist.evaluation.accuracy import accuracy_of
from demist.evaluation.classifier import Classifier, softmax
from demist.evaluation.distances import neighbour_radius
from demist.evaluation.features import pixels, take
from demist.evaluation.frechet import Moments, extrapolate, frechet_distance
from demist.evaluation.inception_score import inception_score
from demist.evaluation.kernel import kernel_distance
from demist.evaluation.memorisation import memorisation
from demist.evaluation.modes import count_modes, kl_to
from demist.evaluation.precision_recall import precision_recall
from demist.evaluation.spectrum import top_octave
from demist.evaluation.vendi import vendi_score

Report = dict[str, Any]
"""`protocol`: how it was measured; `metrics`: name -> {value, floor}; `classes`; `warnings`."""


@dataclass(frozen=True)
class Row:
    """How a metric is printed: its title, which way is better, and what it sees."""

    title: str
    better: str
    sees: str
    digits: int = 3


ROWS = {
    "fdr": Row("FDr", "1", "everything the features see, in units of held-out images", 2),
    "fd": Row("Fréchet distance", "low", "means and covariances of the features", 4),
    "fd_limit": Row("Fréchet distance, N → ∞", "low", "the same without the bias of N", 4),
    "kid": Row("KID x 1000", "0", "three moments of the features, unbiased"),
    "precision": Row("precision", "high", "generated images among the real: fidelity"),
    "recall": Row("recall", "high", "real images among the generated: variety"),
    "density": Row("density", "high", "fidelity, robust to outliers"),
    "coverage": Row("coverage", "high", "real images with a generated one nearby: variety"),
    "vendi": Row("Vendi score", "floor", "effective number of different images", 2),
    "inception_score": Row("Inception Score", "high", "confident labels of many kinds", 2),
    "label_accuracy": Row("label accuracy", "high", "images show what was asked for", 4),
    "class_kl": Row("KL of classes, nats", "low", "classes in the proportions of the data", 4),
    "sharpness": Row("power in the top octave", "floor", "low: blur; high: noise", 4),
    "nearest_ratio": Row("nearest-neighbour ratio", "1", "below 1: copies, or blur"),
    "closer": Row("closer than test images", "0.5", "above 1/2: copies, or blur"),
    "copies": Row("copies of training images", "0", "three times nearer than to any second", 4),
    "authenticity": Row("authenticity", "floor", "low: training images with changes"),
}


def evaluate(
    classifier: Classifier,
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

    Arguments:
        classifier: the judge; its card goes into the report.
        generated: images of the model.
        train: images the model was trained on, all of them.
        test: held-out images of the same source.
        labels: what the generated images were asked to be.
        train_labels: for the proportions of classes; the classifier's own by default.
        test_labels: for the floor of the label accuracy.
        k: neighbour for precision, recall, density and coverage.
        seed: of the random parts.

    Returns:
        A report that is plain JSON. A value that cannot be had is None.

    Raises:
        DataError: too few images, other shapes, or labels that do not fit.
    """
    n = min(len(generated), len(test), len(train))
    if n <= k:
        raise DataError(
            f"{len(generated)} generated, {len(train)} training and {len(test)} test images are "
            f"too few; neighbours of order {k} need more than {k} of each."
        )
    sets = {"generated": generated, "test": test, "train": train}
    features = {name: classifier.features(images) for name, images in sets.items()}
    logits = {name: classifier.head(vectors) for name, vectors in features.items()}
    found = {name: values.argmax(1) for name, values in logits.items()}
    rng = np.random.default_rng(seed)
    chosen = {name: rng.permutation(len(images))[:n] for name, images in sets.items()}
    part = {name: features[name][rows] for name, rows in chosen.items()}

    classes = classifier.card.classes
    reference = Moments.of(features["train"])
    radius = neighbour_radius(part["train"], k)
    target = count_modes(
        found["train"] if train_labels is None else train_labels, len(classes)
    ) / len(train)

    def against_train(name: str) -> dict[str, float]:
        """Metrics that read the same for generated and for test images."""
        vectors, rows = part[name], chosen[name]
        neighbours = precision_recall(part["train"], vectors, k, radius)
        return {
            "fd": frechet_distance(Moments.of(vectors), reference),
            "kid": 1000 * kernel_distance(vectors, features["train"]),
            **asdict(neighbours),
            "vendi": vendi_score(vectors - reference.mean),
            "inception_score": inception_score(softmax(logits[name][rows])),
            "class_kl": kl_to(count_modes(found[name][rows], len(classes)), target),
            "sharpness": top_octave(sets[name][rows]),
        }

    value, floor = against_train("generated"), against_train("test")
    value["fdr"], floor["fdr"] = value["fd"] / floor["fd"], 1.0
    if len(generated) >= 4 * reference.mean.size:
        value["fd_limit"] = extrapolate(features["generated"], reference, seed=seed).limit
    if len(test) >= 4 * reference.mean.size:
        floor["fd_limit"] = extrapolate(features["test"], reference, seed=seed).limit

    copies = memorisation(pixels(take(generated, n, rng)), pixels(test), pixels(train))
    value |= {"nearest_ratio": copies.ratio, "closer": copies.closer}
    floor |= {"nearest_ratio": 1.0, "closer": 0.5}
    value |= {"copies": copies.copies, "authenticity": copies.authenticity}
    floor |= {"copies": copies.test_copies, "authenticity": copies.test_authenticity}

    table = None
    if labels is not None:
        accuracy = accuracy_of(found["generated"], labels, classes)
        table = [asdict(row) for row in accuracy.classes]
        value["label_accuracy"] = accuracy.overall
    if test_labels is not None:
        floor["label_accuracy"] = accuracy_of(found["test"], test_labels, classes).overall

    fdr_within_train = _within(features["train"], n, rng) / floor["fd"]
    protocol = {
        "generated": len(generated),
        "train": len(train),
        "test": len(test),
        "compared": n,
        "k": k,
        "seed": seed,
        "features": str(classifier.card),
        "dimension": int(reference.mean.size),
        "fdr_within_train": fdr_within_train,
    }
    metrics = {
        name: {"value": _finite(value.get(name)), "floor": _finite(floor.get(name))}
        for name in ROWS
    }
    return {
        "protocol": protocol,
        "metrics": metrics,
        "classes": table,
        "warnings": _warnings(protocol, metrics, classifier.card.accuracy),
    }


def markdown(report: Report) -> str:
    """The report as a Markdown table, with its protocol and warnings below."""
    p = report["protocol"]
    lines = ["| metric | generated | real | better | what it sees |", "|---|---:|---:|---|---|"]
    for name, row in ROWS.items():
        entry = report["metrics"][name]
        cells = [_number(entry, "value", row.digits), _number(entry, "floor", row.digits)]
        lines.append(f"| {row.title} | {' | '.join(cells)} | {row.better} | {row.sees} |")
    lines += [
        "",
        f"{p['compared']} generated images against {p['train']} training images; the column "
        f"“real” has {p['compared']} test images in their place. Neighbours: k = {p['k']}.",
        f"Features: {p['features']}, {p['dimension']} numbers.",
        "",
    ]
    return "\n".join(lines + [f"- {warning}" for warning in report["warnings"]]).rstrip() + "\n"


def over_seeds(reports: list[Report]) -> Report:
    """Mean and standard deviation (n - 1) of every value over the reports of several seeds.

    Raises:
        DataError: fewer than two reports, or reports of different judges or sizes.
    """
    if len(reports) < 2:
        raise DataError("A spread over seeds needs at least 2 reports.")
    ignored = {"seed", "fdr_within_train"}
    protocols = [{k: v for k, v in r["protocol"].items() if k not in ignored} for r in reports]
    if any(protocol != protocols[0] for protocol in protocols):
        raise DataError("These reports were measured in different ways and have no common mean.")
    metrics = {}
    for name in ROWS:
        values = [report["metrics"][name]["value"] for report in reports]
        known = None not in values
        metrics[name] = {
            "value": float(np.mean(values)) if known else None,
            "spread": float(np.std(values, ddof=1)) if known else None,
            "floor": reports[0]["metrics"][name]["floor"],
        }
    return {**reports[0], "metrics": metrics, "classes": None}


def _within(train: np.ndarray, n: int, rng: np.random.Generator) -> float:
    """Fréchet distance of some training images to the others: the effect of sampling alone."""
    shuffled = take(train, len(train), rng)
    size = min(n, len(train) // 2)
    return frechet_distance(Moments.of(shuffled[:size]), Moments.of(shuffled[size:]))


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
    if metrics["fdr"]["value"] < 0.9:
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


def _number(entry: dict[str, float | None], key: str, digits: int) -> str:
    value, spread = entry[key], entry.get("spread") if key == "value" else None
    text = "–" if value is None else f"{value:.{digits}f}"
    return text if spread is None else f"{text} ± {spread:.{digits}f}"


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
