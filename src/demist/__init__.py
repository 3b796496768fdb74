"""demist: train, sample, steer and understand diffusion models."""

__version__ = "0.1.0"
