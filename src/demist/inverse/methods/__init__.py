"""Methods, one file each, found by their names."""

from demist.inverse.methods.daps import DAPS
from demist.inverse.methods.ddnm import DDNM
from demist.inverse.methods.ddrm import DDRM
from demist.inverse.methods.diffpir import DiffPIR
from demist.inverse.methods.fps import FPS
from demist.inverse.methods.ilvr import ILVR
from demist.inverse.methods.pnpdm import PnPDM
from demist.inverse.methods.prior import Prior
from demist.inverse.methods.reddiff import REDDiff
from demist.inverse.methods.repaint import RePaint
from demist.inverse.methods.replacement import Replacement
from demist.inverse.methods.tds import TDS

__all__ = [
    "DAPS",
    "DDNM",
    "DDRM",
    "FPS",
    "ILVR",
    "TDS",
    "DiffPIR",
    "PnPDM",
    "Prior",
    "REDDiff",
    "RePaint",
    "Replacement",
]
