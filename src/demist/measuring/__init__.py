"""Measuring models: what they are asked for, samples in buckets, reports."""
