"""Changing what is there: from data to noise and back."""

from demist.editing.invert import invert, slerp
from demist.editing.tiles import Tiled, Wrapping, in_windows
from demist.editing.unclamped import unclamped

__all__ = ["Tiled", "Wrapping", "in_windows", "invert", "slerp", "unclamped"]
