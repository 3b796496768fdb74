"""Inverse problems: what was measured of the data, and draws of all the data it may come from.

Read in this order: conjugate, operator, measurement, method; then any file of `operators` and
`methods`. Data never appears here: operators act on states, and `ThroughCodec` decodes first.
"""

from demist.inverse.conjugate import (
    Apply,
    conjugate_gradients,
    inner,
    least_squares,
    tolerance_of,
)
from demist.inverse.make import METHODS, OPERATORS, make_method, make_operator
from demist.inverse.measurement import (
    GaussianNoise,
    Measurement,
    MeasurementNoise,
    PoissonNoise,
)
from demist.inverse.method import Guided, Method, Walk, walk
from demist.inverse.operator import (
    Chain,
    LinearOperator,
    Operator,
    Product,
    Shape,
    Spectrum,
    Values,
    compose,
    kept,
)
from demist.inverse.operators.dense import Dense
from demist.inverse.operators.mask import Mask

__all__ = [
    "METHODS",
    "OPERATORS",
    "Apply",
    "Chain",
    "Dense",
    "GaussianNoise",
    "Guided",
    "LinearOperator",
    "Mask",
    "Measurement",
    "MeasurementNoise",
    "Method",
    "Operator",
    "PoissonNoise",
    "Product",
    "Shape",
    "Spectrum",
    "Values",
    "Walk",
    "compose",
    "conjugate_gradients",
    "inner",
    "kept",
    "least_squares",
    "make_method",
    "make_operator",
    "tolerance_of",
    "walk",
]
