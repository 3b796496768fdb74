"""Inverse problems: what was measured of the data, and draws of all the data it may come from.

Read in this order: conjugate, operator, measurement, method; hiding and separable, which operators
share; stepped, near, anew and particles, which methods share; then any file of `operators` and
`methods`. Data never appears here: operators act on states, and `ThroughCodec` decodes first.
"""

from demist.inverse import anew, near, particles, stepped
from demist.inverse.conjugate import (
    Apply,
    conjugate_gradients,
    inner,
    least_squares,
    tolerance_of,
)
from demist.inverse.hiding import Hiding
from demist.inverse.make import METHODS, OPERATORS, ReadFile, make_method, make_operator
from demist.inverse.measurement import (
    GaussianNoise,
    Measurement,
    MeasurementNoise,
    PoissonNoise,
)
from demist.inverse.method import Guided, Loop, Method, Walk, walk
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
from demist.inverse.operators import (
    Blur,
    Box,
    Colour,
    Dense,
    Function,
    Gaps,
    Half,
    LowResolution,
    Mask,
    Motion,
    Random,
    Scaled,
    ThroughCodec,
)
from demist.inverse.residuals import conjugate_residuals
from demist.inverse.separable import (
    Kronecker,
    Matrices,
    Separable,
    require_divisible,
    spatial,
)
from demist.inverse.tangent import Led, Linearised, Shift, Tangent

__all__ = [
    "METHODS",
    "OPERATORS",
    "Apply",
    "Blur",
    "Box",
    "Chain",
    "Colour",
    "Dense",
    "Function",
    "Gaps",
    "GaussianNoise",
    "Guided",
    "Half",
    "Hiding",
    "Kronecker",
    "Led",
    "LinearOperator",
    "Linearised",
    "Loop",
    "LowResolution",
    "Mask",
    "Matrices",
    "Measurement",
    "MeasurementNoise",
    "Method",
    "Motion",
    "Operator",
    "PoissonNoise",
    "Product",
    "Random",
    "ReadFile",
    "Scaled",
    "Separable",
    "Shape",
    "Shift",
    "Spectrum",
    "Tangent",
    "ThroughCodec",
    "Values",
    "Walk",
    "anew",
    "compose",
    "conjugate_gradients",
    "conjugate_residuals",
    "inner",
    "kept",
    "least_squares",
    "make_method",
    "make_operator",
    "near",
    "particles",
    "require_divisible",
    "spatial",
    "stepped",
    "tolerance_of",
    "walk",
]
