"""Conditions: from what a user says to what the network is given.

Each condition knows its null and its drop rate, so training dropout and guidance cannot disagree.
"""

from demist.conditions.conditioner import Condition, Conditioner
from demist.conditions.label import Label

__all__ = ["Condition", "Conditioner", "Label"]
