"""Measuring models: what they are asked for, samples in buckets, reports.

`evaluate`, `compare` and `likelihood` are the modules of `demist.evaluate` and the others.
"""

__all__ = [
    "buckets",
    "bulk",
    "candidate",
    "checks",
    "codecs",
    "companions",
    "compare",
    "evaluate",
    "films",
    "judging",
    "likelihood",
    "on_ray",
    "pages",
    "parameters",
    "prompts",
    "ruler",
    "sets",
]
