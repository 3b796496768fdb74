"""Guidance: denoisers made of denoisers, composed in plain sight."""

from demist.guidance.apg import APG
from demist.guidance.autoguidance import Autoguidance
from demist.guidance.cfg import CFG
from demist.guidance.clamp import Clamp, Threshold
from demist.guidance.classifier import Classifier, Reward
from demist.guidance.compose import Compose
from demist.guidance.named import make_rule, rule_classes, rule_names
from demist.guidance.rescale import Rescale
from demist.guidance.rule import Instead, Null, Rule, Scale
from demist.guidance.scale import Interval, PlusPlus

__all__ = [
    "APG",
    "CFG",
    "Autoguidance",
    "Clamp",
    "Classifier",
    "Compose",
    "Instead",
    "Interval",
    "Null",
    "PlusPlus",
    "Rescale",
    "Reward",
    "Rule",
    "Scale",
    "Threshold",
    "make_rule",
    "rule_classes",
    "rule_names",
]
