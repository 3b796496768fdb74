"""Curves over the course of a training run. Needs the `plot` extra (matplotlib)."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from demist.drawing.output import write
from demist.errors import DataError, MissingError
from demist.runs import read_metrics


def loss_curve(metrics: str | os.PathLike[str], out: str | os.PathLike[str]) -> None:
    """Draw the loss over the steps, raw and smoothed, on a logarithmic axis.

    Args:
        metrics: JSON lines with `step` and `loss`; lines without them, and a last line cut off
            by a crash, are passed over.
        out: Where to write; the ending chooses .png, .svg or .pdf.

    Raises:
        MissingError: Matplotlib is not installed, or there is no such file.
        DataError: Fewer than two finite losses.
    """
    figure, ticker, _ = plotter("curves need")
    steps, losses = _losses(Path(metrics))
    if len(steps) < 2:
        raise DataError(f"{metrics} holds {len(steps)} losses; a curve needs at least two")

    page = figure.Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = page.add_subplot()
    axes.plot(steps, losses, color="#9db4c8", linewidth=0.8, label="loss")
    axes.plot(steps, smooth(losses), color="#1f4e79", linewidth=2, label="smoothed")
    axes.set(xlabel="step", ylabel="loss", yscale="log", xlim=(steps[0], steps[-1]))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter("{:g}".format))
    axes.yaxis.set_minor_formatter(ticker.LogFormatter())
    axes.grid(alpha=0.25, which="both", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    ending = Path(out).suffix.lstrip(".") or "png"
    write(out, lambda file: page.savefig(file, format=ending))


def plotter(what: str) -> tuple[Any, Any, Any]:
    """Matplotlib's modules `figure` and `ticker`, and its settings.

    Args:
        what: Needs it: "curves need".

    Raises:
        MissingError: It is not installed.
    """
    try:
        from matplotlib import figure, rcParams, ticker
    except ImportError as error:
        raise MissingError(
            f"{what} matplotlib, which is not installed: pip install 'demist[plot]'"
        ) from error
    return figure, ticker, rcParams


def smooth(values: Float[np.ndarray, " n"], share: float = 0.05) -> Float[np.ndarray, " n"]:
    """Mean over a centred window of `share` of the curve, cut off at both ends."""
    n, half = len(values), max(1, round(len(values) * share / 2))
    total = np.concatenate([[0.0], np.cumsum(values)])
    low = np.maximum(np.arange(n) - half, 0)
    high = np.minimum(np.arange(n) + half + 1, n)
    means: np.ndarray = (total[high] - total[low]) / (high - low)
    return means


def _losses(path: Path) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    if not path.is_file():
        raise MissingError(f"there is no {path}; a run writes it while it trains")
    rows = [row for row in read_metrics(path) if row.get("loss") is not None and "step" in row]
    losses = np.array([row["loss"] for row in rows], float)
    steps = np.array([row["step"] for row in rows], float)
    return steps[np.isfinite(losses)], losses[np.isfinite(losses)]
