"""What the programs of the claims share: sizes, verdicts, and how numbers over seeds are written.

A program has `CLAIM`, what people say; `RULE`, when it holds; `measure(scale)`, which trains and
returns numbers (plain JSON); `judge(numbers)`, the verdict; and `draw(numbers)`, the figure. Only
measuring is slow: verdicts and figures can be made anew from results.json.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

HERE = FIGURES = Path(__file__).parent
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Scale:
    """How much work: `fast` is minutes on two cores, `standard` hours, `smoke` tests the code.

    Attributes:
        name: smoke, fast or standard.
        seeds: Independent trainings.
        steps: Training steps of a digits model, and of the others that compare with it.
        toy_steps: Training steps of a model of points.
        samples: For a distance.
        width: Of the digits models.
        toy_width: Of models of points.
        tries: Settings that each family is tuned with; 1: its usual ones are taken.
        images: Drawn a setting of the model that comes along; 0: it is left out.
    """

    name: str
    seeds: int
    steps: int
    toy_steps: int
    samples: int
    width: int
    toy_width: int
    tries: int
    images: int


SCALES = {
    scale.name: scale
    for scale in (
        Scale("smoke", 2, 20, 20, 200, 16, 16, tries=2, images=50),
        Scale("fast", 3, 800, 6000, 1000, 128, 64, tries=1, images=0),
        Scale("standard", 3, 8000, 20_000, 2000, 384, 128, tries=6, images=1000),
    )
}


@dataclass(frozen=True)
class Verdict:
    """What the numbers say of a claim.

    Attributes:
        verdict: "holds", "holds in part" or "fails", by the rule in the program.
        sentence: What was measured, with its spread.
    """

    verdict: str
    sentence: str


def pm(values: Sequence[float], digits: int = 2) -> str:
    """Mean and standard deviation over seeds."""
    spread = np.std(values, ddof=1) if len(values) > 1 else math.nan
    return f"{np.mean(values):.{digits}f} ± {spread:.{digits}f}"


def half_width(values: Sequence[float]) -> float:
    """Half the 95 % interval of the mean (Student's t)."""
    n = len(values)
    return T_975[n - 2] * float(np.std(values, ddof=1)) / math.sqrt(n)


def paired(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Mean of a - b over the seeds, and half its 95 % interval."""
    difference = np.subtract(a, b)
    return float(difference.mean()), half_width(difference)


def curve(axis: plt.Axes, x: Sequence[float], rows: np.ndarray, label: str) -> None:
    """Mean over the first axis (seeds) with the standard deviation as bars."""
    rows = np.asarray(rows)
    axis.errorbar(x, rows.mean(0), rows.std(0, ddof=1), marker="o", ms=3, capsize=3, label=label)


def plain(axis: plt.Axes, which: str, ticks: Sequence[float]) -> None:
    """Those of the ticks that lie in view on a logarithmic axis ("x" or "y"), as plain numbers."""
    axis.set(**{f"{which}scale": "log"})
    low, high = axis.get_xlim() if which == "x" else axis.get_ylim()
    ticks = [tick for tick in ticks if low <= tick <= high]
    axis.set(**{f"{which}ticks": ticks, f"{which}ticklabels": [f"{tick:g}" for tick in ticks]})
    axis.tick_params(axis=which, which="minor", label1On=False)


def save(figure: plt.Figure, name: str) -> None:
    """Write the figure of a claim beside the table."""
    figure.tight_layout()
    figure.savefig(FIGURES / f"{name}.png", dpi=100)
    plt.close(figure)
