"""One solver a file."""

from demist.samplers.solvers.adams import Adams
from demist.samplers.solvers.churn import Churn
from demist.samplers.solvers.corrector import Corrected
from demist.samplers.solvers.ddim import DDIM, ancestral_variances
from demist.samplers.solvers.ddpm import DDPM
from demist.samplers.solvers.deis import DEIS, flow_moments
from demist.samplers.solvers.dpm_solver import DPMSolver2, DPMSolver3, psi
from demist.samplers.solvers.dpmpp_2m import DPMpp2M
from demist.samplers.solvers.dpmpp_3m import DPMpp3M
from demist.samplers.solvers.dpmpp_single import DPMpp2S, DPMpp3S
from demist.samplers.solvers.euler import Euler
from demist.samplers.solvers.euler_maruyama import EulerMaruyama
from demist.samplers.solvers.heun import Heun
from demist.samplers.solvers.ipndm import IPNDM
from demist.samplers.solvers.lms import LMS
from demist.samplers.solvers.pndm import PNDM, pseudo_heun, pseudo_runge_kutta, transfer
from demist.samplers.solvers.sde_adams import SDEAdams
from demist.samplers.solvers.sde_dpmpp_2m import SDEDPMpp2M
from demist.samplers.solvers.sde_dpmpp_3m import SDEDPMpp3M
from demist.samplers.solvers.trig import Trig
from demist.samplers.solvers.unipc import UniPC, unipc_average

__all__ = [
    "DDIM",
    "DDPM",
    "DEIS",
    "IPNDM",
    "LMS",
    "PNDM",
    "Adams",
    "Churn",
    "Corrected",
    "DPMSolver2",
    "DPMSolver3",
    "DPMpp2M",
    "DPMpp2S",
    "DPMpp3M",
    "DPMpp3S",
    "Euler",
    "EulerMaruyama",
    "Heun",
    "SDEAdams",
    "SDEDPMpp2M",
    "SDEDPMpp3M",
    "Trig",
    "UniPC",
    "ancestral_variances",
    "flow_moments",
    "pseudo_heun",
    "pseudo_runge_kutta",
    "psi",
    "transfer",
    "unipc_average",
]
