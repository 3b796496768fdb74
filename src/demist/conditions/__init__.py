"""Conditions: from what a user says to what the network is given.

Each condition knows its null, its drop rate and its route, so training dropout and guidance cannot
disagree. Every one is encoded as a single tensor whose first axis is the batch.
"""

from demist.conditions.conditioner import ROUTES, Condition, Conditioner
from demist.conditions.label import Label
from demist.conditions.labels import Labels
from demist.conditions.numbers import Numbers
from demist.conditions.picture import LowResolution, Masked, Picture
from demist.conditions.states import FrozenText, States
from demist.conditions.text import Text, learn_tokenizer

__all__ = [
    "ROUTES",
    "Condition",
    "Conditioner",
    "FrozenText",
    "Label",
    "Labels",
    "LowResolution",
    "Masked",
    "Numbers",
    "Picture",
    "States",
    "Text",
    "learn_tokenizer",
]
