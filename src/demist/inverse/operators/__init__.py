"""Operators, one file each, found by their names."""

from demist.inverse.operators.dense import Dense
from demist.inverse.operators.mask import Mask

__all__ = ["Dense", "Mask"]
