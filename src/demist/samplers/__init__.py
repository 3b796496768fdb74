"""From noise to data: grids of times, solvers, and the loop that applies one along the other."""

from demist.samplers.adams import Adams
from demist.samplers.ddim import DDIM, ancestral_variances
from demist.samplers.dpmpp_2m import DPMpp2M
from demist.samplers.grid import (
    angular,
    karras,
    leading,
    linspace,
    log_snr,
    smooth,
    trailing,
    uniform,
)
from demist.samplers.heun import Heun
from demist.samplers.loop import State, renoise, sample, trajectory
from demist.samplers.named import GRIDS, make_grid, make_solver, solver_names
from demist.samplers.optimise import optimised
from demist.samplers.solver import Solver

__all__ = [
    "DDIM",
    "GRIDS",
    "Adams",
    "DPMpp2M",
    "Heun",
    "Solver",
    "State",
    "ancestral_variances",
    "angular",
    "karras",
    "leading",
    "linspace",
    "log_snr",
    "make_grid",
    "make_solver",
    "optimised",
    "renoise",
    "sample",
    "smooth",
    "solver_names",
    "trailing",
    "trajectory",
    "uniform",
]
