"""The page that shows one sampling step is the code, and shows all of it."""

import re
import runpy
import sys
from pathlib import Path

import torch
from torch import nn

from demist.core import Cosine, Denoiser, Gaussian, V
from demist.samplers import Heun, angular, trajectory

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "demist"
MAKER = runpy.run_path(str(ROOT / "scripts" / "make_one_step.py"))
PAGE = (ROOT / "docs" / "one-step.md").read_text()


def test_the_page_is_cut_from_the_code():
    assert MAKER["page"]() == PAGE, "run `python scripts/make_one_step.py`"
    assert len(PAGE.splitlines()) <= 150


def test_every_line_of_code_on_the_page_stands_in_its_file():
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        for line in filter(None, block.splitlines()):
            if found := re.match(r"# (\S+\.py): \S+$", line):
                lines = {known.strip() for known in (SOURCE / found[1]).read_text().splitlines()}
            elif line.strip() != "raise ValueError(...)":
                assert line.strip() in lines


class Network(nn.Module):
    def forward(self, x, clock):
        return torch.tanh(x) * clock[:, None]


def test_nothing_else_happens_in_a_step():
    """Every function of the package that runs between two times is on the page."""
    model, grid = Denoiser(Network(), Cosine(), V()), angular(4, Cosine())
    called = set()

    def watch(frame, event, _):
        code = frame.f_code
        # Anonymous parts belong to the function around them; the rest is made by decorators.
        if event == "call" and Path(code.co_filename).is_relative_to(SOURCE):
            called.add((Path(code.co_filename).relative_to(SOURCE).as_posix(), code.co_name))

    points = trajectory(model, torch.randn(2, 3), grid, Heun(), Gaussian())
    next(points)
    sys.setprofile(watch)
    try:
        next(points)
    finally:
        sys.setprofile(None)
    shown = {
        (file, name.rpartition(".")[2]) for file, name in re.findall(r"# (\S+): (\S+)\n", PAGE)
    }
    assert ("core/denoiser.py", "forward") in called
    refusals = {(file, name) for file, name in called if "_require" in name}
    # The noise hands out itself: Heun draws nothing.
    assert called - shown - refusals <= {("core/noise.py", "at")}
