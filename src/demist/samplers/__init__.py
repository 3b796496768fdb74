"""From noise to data: grids of times, solvers, and the loop that applies one along the other."""

from demist.samplers.adaptive import Solution, Step, dormand_prince, integrate
from demist.samplers.fitted import Fitted
from demist.samplers.fitting import Fit, evaluations, fit
from demist.samplers.grids.functions import (
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
from demist.samplers.grids.grid import Grid
from demist.samplers.grids.in_angle import AngularGrid, CosineGrid, SmoothGrid
from demist.samplers.grids.in_level import ExponentialGrid, KarrasGrid, LogSNRGrid
from demist.samplers.grids.in_steps import LeadingGrid, LinspaceGrid, TrailingGrid
from demist.samplers.grids.in_time import BetaGrid, ShiftedGrid, UniformGrid
from demist.samplers.langevin import annealed_langevin, langevin
from demist.samplers.loop import TrajectoryPoint, checked_grid, renoise, sample, trajectory
from demist.samplers.make import GRIDS, SOLVERS, make_grid, make_solver
from demist.samplers.restart import restart
from demist.samplers.solver import Solver
from demist.samplers.solvers.adams import Adams
from demist.samplers.solvers.bayes import Bayes
from demist.samplers.solvers.churn import Churn
from demist.samplers.solvers.corrector import Corrected
from demist.samplers.solvers.ddim import DDIM, ancestral_variances
from demist.samplers.solvers.ddpm import DDPM
from demist.samplers.solvers.deis import DEIS
from demist.samplers.solvers.dpm_solver import DPMSolver2, DPMSolver3
from demist.samplers.solvers.dpmpp_2m import DPMpp2M
from demist.samplers.solvers.dpmpp_3m import DPMpp3M
from demist.samplers.solvers.dpmpp_single import DPMpp2S, DPMpp3S
from demist.samplers.solvers.euler import Euler
from demist.samplers.solvers.euler_maruyama import EulerMaruyama
from demist.samplers.solvers.heun import Heun
from demist.samplers.solvers.ipndm import IPNDM
from demist.samplers.solvers.lms import LMS
from demist.samplers.solvers.pndm import PNDM
from demist.samplers.solvers.sde_adams import SDEAdams
from demist.samplers.solvers.sde_dpmpp_2m import SDEDPMpp2M
from demist.samplers.solvers.sde_dpmpp_3m import SDEDPMpp3M
from demist.samplers.solvers.trig import Trig
from demist.samplers.solvers.unipc import UniPC
from demist.samplers.usual import AUTO, settled, usual, usual_shift

__all__ = [
    "AUTO",
    "DDIM",
    "DDPM",
    "DEIS",
    "GRIDS",
    "IPNDM",
    "LMS",
    "PNDM",
    "SOLVERS",
    "Adams",
    "AngularGrid",
    "Bayes",
    "BetaGrid",
    "Churn",
    "Corrected",
    "CosineGrid",
    "DPMSolver2",
    "DPMSolver3",
    "DPMpp2M",
    "DPMpp2S",
    "DPMpp3M",
    "DPMpp3S",
    "Euler",
    "EulerMaruyama",
    "ExponentialGrid",
    "Fit",
    "Fitted",
    "Grid",
    "Heun",
    "KarrasGrid",
    "LeadingGrid",
    "LinspaceGrid",
    "LogSNRGrid",
    "SDEAdams",
    "SDEDPMpp2M",
    "SDEDPMpp3M",
    "ShiftedGrid",
    "SmoothGrid",
    "Solution",
    "Solver",
    "Step",
    "TrailingGrid",
    "TrajectoryPoint",
    "Trig",
    "UniPC",
    "UniformGrid",
    "ancestral_variances",
    "angular",
    "annealed_langevin",
    "beta",
    "checked_grid",
    "cosine",
    "dormand_prince",
    "evaluations",
    "exponential",
    "fit",
    "integrate",
    "karras",
    "langevin",
    "leading",
    "linspace",
    "log_snr",
    "make_grid",
    "make_solver",
    "renoise",
    "restart",
    "sample",
    "settled",
    "shifted",
    "smooth",
    "trailing",
    "trajectory",
    "uniform",
    "usual",
    "usual_shift",
]
