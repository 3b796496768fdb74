"""Guidance: denoisers made of denoisers, composed in plain sight."""

from demist.guidance.combine import CFG

__all__ = ["CFG"]
