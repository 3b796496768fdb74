"""Numbers one can trust: metrics on arrays and features, and an offline judge to make the features.

Nothing here knows about models or samplers; everything takes uint8 images, points or features.
"""

from demist.evaluation.reference import Reference, Seen
from demist.evaluation.report import Report, evaluate, measure, of_one, over_seeds
from demist.evaluation.ruler import Asked, Ruler
from demist.evaluation.tables import against, interval, markdown

__all__ = [
    "Asked",
    "Reference",
    "Report",
    "Ruler",
    "Seen",
    "against",
    "evaluate",
    "interval",
    "markdown",
    "measure",
    "of_one",
    "over_seeds",
]
