"""A model with all it takes to sample from it, in memory and as a folder."""

from demist.model.pipeline import BUCKET, Defaults, Frame, Pipeline, sample_seed

__all__ = ["BUCKET", "Defaults", "Frame", "Pipeline", "sample_seed"]
