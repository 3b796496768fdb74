"""A model with all it takes to sample from it, in memory and as a folder."""

from demist.model import best_of, fits, values
from demist.model.controlled import Controlled
from demist.model.feeders import Feeder
from demist.model.images import Images, shown
from demist.model.learned_clip import LearnedClip, is_clip, open_clip
from demist.model.learned_codec import LearnedCodec, open_codec
from demist.model.noisy_classifier import NoisyClassifier
from demist.model.open import gpus_of, locate, open_model
from demist.model.pipeline import Pipeline
from demist.model.plan import Frame, Plan, Tally, sample_seed
from demist.model.sampling import STANDARD, Sampling
from demist.model.sweep import Axis, GridCell, GridCells, parse_axes, sweep, swept
from demist.model.told_more import widen
from demist.model.trace import Trace, as_large, as_small

__all__ = [
    "STANDARD",
    "Axis",
    "Controlled",
    "Feeder",
    "Frame",
    "GridCell",
    "GridCells",
    "Images",
    "LearnedClip",
    "LearnedCodec",
    "NoisyClassifier",
    "Pipeline",
    "Plan",
    "Sampling",
    "Tally",
    "Trace",
    "about",
    "adapted",
    "as_large",
    "as_small",
    "best_of",
    "card",
    "components",
    "consistent",
    "controlled",
    "encoders",
    "export",
    "feeders",
    "fits",
    "folder",
    "gpus_of",
    "guided",
    "is_clip",
    "keywords",
    "learned_clip",
    "learned_codec",
    "locate",
    "make_plan",
    "noisy_classifier",
    "open",
    "open_clip",
    "open_codec",
    "open_model",
    "parse_axes",
    "placing",
    "provenance",
    "publish",
    "published",
    "recorder",
    "recording",
    "refine",
    "relearned",
    "remembered",
    "rewording",
    "sample_seed",
    "sampling",
    "shown",
    "stable_diffusion",
    "staged",
    "stored",
    "sums",
    "sweep",
    "swept",
    "told_more",
    "values",
    "watched",
    "widen",
]
