"""The arithmetic that several solvers share."""

from demist.samplers.numerics.flow import TABLEAUS, flow_time, runge_kutta
from demist.samplers.numerics.lagrange import integral_weights
from demist.samplers.numerics.multistep import (
    NEAREST,
    NO_SIGNAL,
    STARTS,
    Levels,
    apart,
    check_options,
    heun_correction,
    starting_steps,
)
from demist.samplers.numerics.polynomials import (
    exponential_moments,
    half_log_snr,
    lagrange,
    phi,
    time_at_half,
)
from demist.samplers.numerics.quadrature import quadrature_weights

__all__ = [
    "NEAREST",
    "NO_SIGNAL",
    "STARTS",
    "TABLEAUS",
    "Levels",
    "apart",
    "check_options",
    "exponential_moments",
    "flow_time",
    "half_log_snr",
    "heun_correction",
    "integral_weights",
    "lagrange",
    "phi",
    "quadrature_weights",
    "runge_kutta",
    "starting_steps",
    "time_at_half",
]
