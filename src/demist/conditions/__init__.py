"""Conditions: from what a user says to what the network is given.

Each condition knows its null, its drop rate and its route, so training dropout and guidance cannot
disagree. Every one is encoded as a single tensor whose first axis is the batch.
"""

from demist.conditions.conditioner import ROUTES, Condition, Conditioner, Draw
from demist.conditions.label import Label, Value, class_index
from demist.conditions.labels import Labels
from demist.conditions.make import CONDITIONS
from demist.conditions.numbers import Numbers
from demist.conditions.picture import LowResolution, Masked, Picture, PictureRoute, pictures
from demist.conditions.states import FrozenText, States, TokenRoute, pack
from demist.conditions.text import Text, learn_tokenizer, library, split_weights

__all__ = [
    "CONDITIONS",
    "ROUTES",
    "Condition",
    "Conditioner",
    "Draw",
    "FrozenText",
    "Label",
    "Labels",
    "LowResolution",
    "Masked",
    "Numbers",
    "Picture",
    "PictureRoute",
    "States",
    "Text",
    "TokenRoute",
    "Value",
    "class_index",
    "learn_tokenizer",
    "library",
    "pack",
    "pictures",
    "split_weights",
]
