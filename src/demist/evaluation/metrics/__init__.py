"""One metric a file."""

from demist.evaluation.metrics.accuracy import (
    Accuracy,
    ClassAccuracy,
    Recogniser,
    accuracy_of,
    check_labels,
    label_accuracy,
)
from demist.evaluation.metrics.distances import nearest, neighbour_radius, squared_distances
from demist.evaluation.metrics.frechet import (
    Extrapolation,
    Moments,
    extrapolate,
    frechet_distance,
    ratio,
)
from demist.evaluation.metrics.inception_score import entropy_terms, inception_score
from demist.evaluation.metrics.kernel import kernel_distance, kernel_distance_subsets, kernel_within
from demist.evaluation.metrics.memorisation import Closeness, Memorisation, memorisation
from demist.evaluation.metrics.modes import Modes, count_modes, kl_floor, kl_to, score_modes
from demist.evaluation.metrics.points import measure_points
from demist.evaluation.metrics.precision_recall import PrecisionRecall, precision_recall
from demist.evaluation.metrics.psnr import psnr
from demist.evaluation.metrics.rows import Row
from demist.evaluation.metrics.sliced_wasserstein import sliced_wasserstein
from demist.evaluation.metrics.spectrum import radial_spectrum, top_octave
from demist.evaluation.metrics.text_score import Encoder, TextScore, scores, text_score
from demist.evaluation.metrics.vendi import vendi_score

__all__ = [
    "Accuracy",
    "ClassAccuracy",
    "Closeness",
    "Encoder",
    "Extrapolation",
    "Memorisation",
    "Modes",
    "Moments",
    "PrecisionRecall",
    "Recogniser",
    "Row",
    "TextScore",
    "accuracy_of",
    "check_labels",
    "count_modes",
    "entropy_terms",
    "extrapolate",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "kernel_distance_subsets",
    "kernel_within",
    "kl_floor",
    "kl_to",
    "label_accuracy",
    "measure_points",
    "memorisation",
    "nearest",
    "neighbour_radius",
    "precision_recall",
    "psnr",
    "radial_spectrum",
    "ratio",
    "score_modes",
    "scores",
    "sliced_wasserstein",
    "squared_distances",
    "text_score",
    "top_octave",
    "vendi_score",
]
