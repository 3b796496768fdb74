"""From noise to data: grids of times, solvers, and the loop that applies one along the other."""

from demist.samplers.adaptive import Solution, integrate
from demist.samplers.grids import (
    angular,
    beta,
    cosine,
    exponential,
    karras,
    leading,
    linspace,
    log_snr,
    shifted,
    smooth,
    trailing,
    uniform,
)
from demist.samplers.langevin import annealed_langevin, langevin
from demist.samplers.loop import TrajectoryPoint, renoise, sample, trajectory
from demist.samplers.named import GRIDS, make_grid, make_solver, solver_names
from demist.samplers.optimise import optimised
from demist.samplers.restart import restart
from demist.samplers.solver import Solver
from demist.samplers.solvers.adams import Adams
from demist.samplers.solvers.churn import Churn
from demist.samplers.solvers.corrector import Corrected
from demist.samplers.solvers.ddim import DDIM, ancestral_variances
from demist.samplers.solvers.ddpm import DDPM
from demist.samplers.solvers.dpmpp_2m import DPMpp2M
from demist.samplers.solvers.euler_maruyama import EulerMaruyama
from demist.samplers.solvers.heun import Heun
from demist.samplers.solvers.sde_adams import SDEAdams
from demist.samplers.solvers.sde_dpmpp_2m import SDEDPMpp2M
from demist.samplers.solvers.sde_dpmpp_3m import SDEDPMpp3M
from demist.samplers.solvers.trig import Trig

__all__ = [
    "DDIM",
    "DDPM",
    "GRIDS",
    "Adams",
    "Churn",
    "Corrected",
    "DPMpp2M",
    "EulerMaruyama",
    "Heun",
    "SDEAdams",
    "SDEDPMpp2M",
    "SDEDPMpp3M",
    "Solution",
    "Solver",
    "TrajectoryPoint",
    "Trig",
    "ancestral_variances",
    "angular",
    "annealed_langevin",
    "beta",
    "cosine",
    "exponential",
    "integrate",
    "karras",
    "langevin",
    "leading",
    "linspace",
    "log_snr",
    "make_grid",
    "make_solver",
    "optimised",
    "renoise",
    "restart",
    "sample",
    "shifted",
    "smooth",
    "solver_names",
    "trailing",
    "trajectory",
    "uniform",
]
