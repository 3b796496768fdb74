"""Methods, one file each, found by their names."""

from demist.inverse.methods.daps import DAPS
from demist.inverse.methods.ddnm import DDNM
from demist.inverse.methods.ddrm import DDRM
from demist.inverse.methods.diffpir import DiffPIR
from demist.inverse.methods.dps import DPS
from demist.inverse.methods.fps import FPS
from demist.inverse.methods.ilvr import ILVR
from demist.inverse.methods.lgd import LGD
from demist.inverse.methods.mmps import MMPS
from demist.inverse.methods.mmps_langevin import MMPSLangevin
from demist.inverse.methods.pigdm import PiGDM
from demist.inverse.methods.pnpdm import PnPDM
from demist.inverse.methods.prior import Prior
from demist.inverse.methods.reddiff import REDDiff
from demist.inverse.methods.repaint import RePaint
from demist.inverse.methods.replacement import Replacement
from demist.inverse.methods.tds import TDS
from demist.inverse.methods.tds_mmps import TDSThenMMPS
from demist.inverse.methods.tmpd import TMPD

__all__ = [
    "DAPS",
    "DDNM",
    "DDRM",
    "DPS",
    "FPS",
    "ILVR",
    "LGD",
    "MMPS",
    "TDS",
    "TMPD",
    "DiffPIR",
    "MMPSLangevin",
    "PiGDM",
    "PnPDM",
    "Prior",
    "REDDiff",
    "RePaint",
    "Replacement",
    "TDSThenMMPS",
]
