"""Conditions by name, for saved files."""

from demist.conditions.condition import Condition
from demist.parts import Family

CONDITIONS = Family("condition", Condition, "conditions")  # type: ignore[type-abstract]
