"""One metric a file."""

from demist.evaluation.metrics.accuracy import (
    Accuracy,
    ClassAccuracy,
    LabelAccuracy,
    Recogniser,
    accuracy_of,
    check_labels,
    label_accuracy,
)
from demist.evaluation.metrics.distances import (
    Closest,
    closest,
    nearest,
    nearest_of_many,
    neighbour_radius,
    require_neighbour,
    squared_distances,
)
from demist.evaluation.metrics.frechet import (
    Extrapolation,
    Frechet,
    Moments,
    SpatialFrechet,
    extrapolate,
    frechet_distance,
    ratio,
)
from demist.evaluation.metrics.inception_score import InceptionScore, entropy_terms, inception_score
from demist.evaluation.metrics.kernel import (
    Kernel,
    kernel_distance,
    kernel_distance_subsets,
    kernel_within,
    strided,
)
from demist.evaluation.metrics.linear_code import LinearCode, linear_code
from demist.evaluation.metrics.memorisation import (
    Closeness,
    Memorisation,
    TrainingImages,
    closer,
    memorisation,
    twin_distance,
)
from demist.evaluation.metrics.metric import (
    METRICS,
    Found,
    ImageMetric,
    Metric,
    Need,
    PointMetric,
    Row,
    TextMetric,
    metrics_of,
    rows_of,
)
from demist.evaluation.metrics.modes import (
    ClassProportions,
    Modes,
    count_modes,
    kl_floor,
    kl_to,
    score_modes,
)
from demist.evaluation.metrics.points import HeldOut, PointModes, measure_points
from demist.evaluation.metrics.precision_recall import Neighbours, PrecisionRecall, precision_recall
from demist.evaluation.metrics.prompt_diversity import PromptDiversity, distances_within
from demist.evaluation.metrics.psnr import psnr
from demist.evaluation.metrics.retrieval import Retrieval, retrieval
from demist.evaluation.metrics.sliced_wasserstein import SlicedWasserstein, sliced_wasserstein
from demist.evaluation.metrics.spectrum import Sharpness, radial_spectrum, top_octave
from demist.evaluation.metrics.ssim import ssim
from demist.evaluation.metrics.text_score import Encoder, ImageText, TextScore, scores, text_score
from demist.evaluation.metrics.vendi import Vendi, vendi_score

__all__ = [
    "METRICS",
    "Accuracy",
    "ClassAccuracy",
    "ClassProportions",
    "Closeness",
    "Closest",
    "Encoder",
    "Extrapolation",
    "Found",
    "Frechet",
    "HeldOut",
    "ImageMetric",
    "ImageText",
    "InceptionScore",
    "Kernel",
    "LabelAccuracy",
    "LinearCode",
    "Memorisation",
    "Metric",
    "Modes",
    "Moments",
    "Need",
    "Neighbours",
    "PointMetric",
    "PointModes",
    "PrecisionRecall",
    "PromptDiversity",
    "Recogniser",
    "Retrieval",
    "Row",
    "Sharpness",
    "SlicedWasserstein",
    "SpatialFrechet",
    "TextMetric",
    "TextScore",
    "TrainingImages",
    "Vendi",
    "accuracy_of",
    "check_labels",
    "closer",
    "closest",
    "count_modes",
    "distances_within",
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
    "linear_code",
    "measure_points",
    "memorisation",
    "metrics_of",
    "nearest",
    "nearest_of_many",
    "neighbour_radius",
    "precision_recall",
    "psnr",
    "radial_spectrum",
    "ratio",
    "require_neighbour",
    "retrieval",
    "rows_of",
    "score_modes",
    "scores",
    "sliced_wasserstein",
    "squared_distances",
    "ssim",
    "strided",
    "text_score",
    "top_octave",
    "twin_distance",
    "vendi_score",
]
