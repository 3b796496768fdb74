"""The version, and nothing else, so that anything may know it."""

__version__ = "0.1.0"
