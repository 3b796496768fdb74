"""A model with all it takes to sample from it, in memory and as a folder."""

from demist.model.pipeline import Pipeline
from demist.model.plan import Frame, Plan, sample_seed
from demist.model.sampling import STANDARD, Sampling

__all__ = ["STANDARD", "Frame", "Pipeline", "Plan", "Sampling", "sample_seed"]
