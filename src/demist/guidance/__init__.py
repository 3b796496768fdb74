"""Guidance: denoisers made of denoisers, composed in plain sight."""

from demist.guidance.apg import APG
from demist.guidance.autoguidance import Autoguidance
from demist.guidance.between import Between
from demist.guidance.cfg import CFG
from demist.guidance.clamp import Clamp, Threshold
from demist.guidance.classifier import NEAR, Classifier, Reward
from demist.guidance.compose import Compose, read_terms
from demist.guidance.dual import Dual
from demist.guidance.held import Held
from demist.guidance.make import RULES, RuleMaker, make_rule
from demist.guidance.rescale import Rescale
from demist.guidance.rule import (
    Cond,
    Encode,
    Instead,
    Null,
    Rule,
    Scale,
    both_ends,
    is_number,
    scale_at,
)
from demist.guidance.scale import Interval, PlusPlus
from demist.guidance.statistics import along, magnitude, norm, per_sample, std

__all__ = [
    "APG",
    "CFG",
    "NEAR",
    "RULES",
    "Autoguidance",
    "Between",
    "Clamp",
    "Classifier",
    "Compose",
    "Cond",
    "Dual",
    "Encode",
    "Held",
    "Instead",
    "Interval",
    "Null",
    "PlusPlus",
    "Rescale",
    "Reward",
    "Rule",
    "RuleMaker",
    "Scale",
    "Threshold",
    "along",
    "both_ends",
    "is_number",
    "magnitude",
    "make_rule",
    "norm",
    "per_sample",
    "read_terms",
    "scale_at",
    "std",
]
