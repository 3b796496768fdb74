"""The samplers of other libraries, step for step as they were published with models.

They are for giving the image that is known from elsewhere. What differs from `samplers.solvers` is
said in each: where a step leads, how predictions are clipped, and how the last steps are taken.
Which of them a model was published with, and at which times, `demist.interop.sampler` reads.
"""

from demist.samplers.published.consistency import Consistency
from demist.samplers.published.exponential import Exponential, Placed, Span, UniformPC
from demist.samplers.published.line import Line, Posterior
from demist.samplers.published.plms import PLMS
from demist.samplers.published.range import UNBOUNDED, Kept, Range
from demist.samplers.published.stride import TO_NEXT, Stride
from demist.samplers.published.trapezoid import Trapezoid

__all__ = [
    "PLMS",
    "TO_NEXT",
    "UNBOUNDED",
    "Consistency",
    "Exponential",
    "Kept",
    "Line",
    "Placed",
    "Posterior",
    "Range",
    "Span",
    "Stride",
    "Trapezoid",
    "UniformPC",
]
