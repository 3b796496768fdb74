"""The kinds of edits that `demist edit` makes, one file each."""

from demist.editing.kinds.instruct import Instruct
from demist.editing.kinds.kind import Kind, Told
from demist.editing.kinds.redraw import Redraw
from demist.editing.kinds.restyle import Restyle
from demist.editing.kinds.swap import Swap, at_own_size
from demist.editing.kinds.upscale import Upscale

__all__ = ["Instruct", "Kind", "Redraw", "Restyle", "Swap", "Told", "Upscale", "at_own_size"]
