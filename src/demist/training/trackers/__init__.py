"""Where metrics and samples go besides the run's folder: one file each, found by being there."""

from demist.parts import Family
from demist.training.trackers.tracker import Beginning, Session, Tracker

TRACKERS: Family[Tracker] = Family("tracker", Tracker, "training.trackers")  # type: ignore[type-abstract]
"""All trackers."""

__all__ = ["TRACKERS", "Beginning", "Session", "Tracker", "group"]
