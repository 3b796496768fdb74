"""Methods, one file each, found by their names."""

from demist.inverse.methods.prior import Prior

__all__ = ["Prior"]
