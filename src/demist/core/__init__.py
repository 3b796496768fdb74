"""The vocabulary of diffusion: schedule, denoiser, prediction, noise, and the ground truth.

Read in this order: state, fields, schedule, table, modifiers, parameterization, prediction, clocks,
denoiser, solvable, noise, exact, normals; gradients, ddpm, brownian and sde when wanted; make finds
them by name.
"""

from demist.core.brownian import Brownian, bridge, increment
from demist.core.clocks import (
    AngleClock,
    Clock,
    FlowClock,
    IndexClock,
    LogSNRClock,
    ScaledClock,
    TimeClock,
)
from demist.core.ddpm import (
    CosineTable,
    LinearTable,
    ScaledLinearTable,
    SigmoidTable,
    cosine_betas,
    linear_betas,
    scaled_linear_betas,
    sigmoid_betas,
)
from demist.core.denoiser import Conditioned, Denoiser, Model, many
from demist.core.exact import Distribution, Exact, Mixture, Normal, points
from demist.core.fields import Fields, require_leading
from demist.core.gradients import copied, leaf, rebuilt, straightened
from demist.core.make import CLOCKS, PARAMETERIZATIONS, SCHEDULES, make_schedule
from demist.core.modifiers import Shifted, ZeroTerminal
from demist.core.noise import (
    Centred,
    Gaussian,
    Noise,
    Seeded,
    TorchSeeded,
    count_dims,
    keyed_normal,
    standard_normal_log_prob,
)
from demist.core.normals import Normals
from demist.core.parameterization import (
    X0,
    Eps,
    Karras,
    Parameterization,
    Rates,
    Scalar,
    Score,
    V,
    Velocity,
)
from demist.core.prediction import Prediction
from demist.core.schedule import VE, VP, Cosine, Linear, Schedule, Sigmoid
from demist.core.sde import (
    drift,
    forward_euler,
    forward_jump,
    reverse_drift,
    score,
    squared_diffusion,
    transition,
    velocity,
)
from demist.core.solvable import EARLIER, denoisers, solvable, solvable_grid
from demist.core.state import State, combine, left, mean_square, where
from demist.core.table import Table, rescale_to_zero_terminal
from demist.core.unclamped import unclamped

__all__ = [
    "CLOCKS",
    "EARLIER",
    "PARAMETERIZATIONS",
    "SCHEDULES",
    "VE",
    "VP",
    "X0",
    "AngleClock",
    "Brownian",
    "Centred",
    "Clock",
    "Conditioned",
    "Cosine",
    "CosineTable",
    "Denoiser",
    "Distribution",
    "Eps",
    "Exact",
    "Fields",
    "FlowClock",
    "Gaussian",
    "IndexClock",
    "Karras",
    "Linear",
    "LinearTable",
    "LogSNRClock",
    "Mixture",
    "Model",
    "Noise",
    "Normal",
    "Normals",
    "Parameterization",
    "Prediction",
    "Rates",
    "Scalar",
    "ScaledClock",
    "ScaledLinearTable",
    "Schedule",
    "Score",
    "Seeded",
    "Shifted",
    "Sigmoid",
    "SigmoidTable",
    "State",
    "Table",
    "TimeClock",
    "TorchSeeded",
    "V",
    "Velocity",
    "ZeroTerminal",
    "bridge",
    "combine",
    "copied",
    "cosine_betas",
    "count_dims",
    "denoisers",
    "drift",
    "forward_euler",
    "forward_jump",
    "increment",
    "keyed_normal",
    "leaf",
    "left",
    "linear_betas",
    "make_schedule",
    "many",
    "mean_square",
    "points",
    "rebuilt",
    "require_leading",
    "rescale_to_zero_terminal",
    "reverse_drift",
    "scaled_linear_betas",
    "score",
    "sigmoid_betas",
    "solvable",
    "solvable_grid",
    "squared_diffusion",
    "standard_normal_log_prob",
    "straightened",
    "transition",
    "unclamped",
    "velocity",
    "where",
]
