"""Changing what is there: from data to noise and back."""

from demist.editing.invert import invert, slerp

__all__ = ["invert", "slerp"]
