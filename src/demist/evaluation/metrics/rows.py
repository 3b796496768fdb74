"""The rows of the table: what each metric is called, which way is better, and what it sees."""

from dataclasses import dataclass


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
    "sfd": Row("spatial Fréchet distance", "low", "where things are in the image", 4),
    "precision": Row("precision", "high", "generated images among the real: fidelity"),
    "recall": Row("recall", "high", "real images among the generated: variety"),
    "density": Row("density", "high", "fidelity, robust to outliers"),
    "coverage": Row("coverage", "high", "real images with a generated one nearby: variety"),
    "vendi": Row("Vendi score", "as real", "effective number of different images", 2),
    "inception_score": Row("Inception Score", "high", "confident labels of many kinds", 2),
    "label_accuracy": Row("label accuracy", "high", "images show what was asked for", 4),
    "class_kl": Row("KL of classes, nats", "low", "classes in the proportions of the data", 4),
    "sharpness": Row("power in the top octave", "as real", "low: blur; high: noise", 4),
    "nearest_ratio": Row("nearest-neighbour ratio", "1", "below 1: copies, or blur"),
    "closer": Row("closer than test images", "0.5", "above 1/2: copies, or blur"),
    "copies": Row("copies of training images", "0", "three times nearer than to any second", 4),
    "authenticity": Row("authenticity", "as real", "low: training images with changes"),
}

POINT_ROWS = {
    "sliced_wasserstein": Row(
        "sliced Wasserstein distance", "low", "the whole distribution, in the units of the data", 4
    ),
    "missing": Row("modes without a sample", "0", "modes lost", 1),
    "mode_kl": Row("KL of modes, nats", "as real", "modes in the right proportions", 4),
    "stray": Row("samples away from all modes", "as real", "points between the modes", 4),
}

TEXT_ROWS = {
    "text_score": Row("image-text score", "high", "images show what their captions say", 2),
    "text_score_shuffled": Row(
        "the same, captions shuffled", "as real", "the score's floor: how alike images are", 2
    ),
}

ALL_ROWS = ROWS | POINT_ROWS | TEXT_ROWS
