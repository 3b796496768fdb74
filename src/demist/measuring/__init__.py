"""Measuring models: what they are asked for, samples in buckets, reports.

`evaluate`, `compare` and `likelihood` are the modules of `demist.evaluate` and the others.
"""
