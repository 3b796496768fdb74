"""Distributions of times and weights by name."""

from demist.objectives.times import Times
from demist.objectives.weights import Weight
from demist.parts import Family

TIMES = Family("time distribution", Times, "objectives")  # type: ignore[type-abstract]
WEIGHTS = Family("weight", Weight, "objectives")  # type: ignore[type-abstract]
