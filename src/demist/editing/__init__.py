"""Changing what is there: from data to noise and back."""

from demist.editing.invert import invert, slerp
from demist.editing.unclamped import unclamped

__all__ = ["invert", "slerp", "unclamped"]
