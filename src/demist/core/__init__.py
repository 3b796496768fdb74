"""The vocabulary of diffusion: schedule, denoiser, prediction, noise, and the ground truth.

Read in this order: shapes, schedule, table, modifiers, parameterization, prediction, denoiser,
noise, exact; brownian and sde when wanted.
"""

from demist.core.brownian import Brownian
from demist.core.denoiser import (
    Clock,
    Conditioned,
    Denoiser,
    IndexClock,
    LogSNRClock,
    Model,
    angle_clock,
    many,
    time_clock,
)
from demist.core.modifiers import Shifted, ZeroTerminal
from demist.core.noise import Gaussian, Noise, Seeded, standard_normal_log_prob
from demist.core.parameterization import (
    X0,
    Eps,
    Karras,
    Parameterization,
    Score,
    V,
    Velocity,
)
from demist.core.prediction import Prediction
from demist.core.schedule import VE, VP, Cosine, Linear, Schedule, Sigmoid
from demist.core.state import State, combine, left
from demist.core.table import (
    Table,
    cosine_betas,
    linear_betas,
    rescale_to_zero_terminal,
    scaled_linear_betas,
    sigmoid_betas,
)

__all__ = [
    "VE",
    "VP",
    "X0",
    "Brownian",
    "Clock",
    "Conditioned",
    "Cosine",
    "Denoiser",
    "Eps",
    "Gaussian",
    "IndexClock",
    "Karras",
    "Linear",
    "LogSNRClock",
    "Model",
    "Noise",
    "Parameterization",
    "Prediction",
    "Schedule",
    "Score",
    "Seeded",
    "Shifted",
    "Sigmoid",
    "State",
    "Table",
    "V",
    "Velocity",
    "ZeroTerminal",
    "angle_clock",
    "combine",
    "cosine_betas",
    "left",
    "linear_betas",
    "many",
    "rescale_to_zero_terminal",
    "scaled_linear_betas",
    "sigmoid_betas",
    "standard_normal_log_prob",
    "time_clock",
]
