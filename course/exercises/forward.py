"""Exercise 1: the closed form of the forward process, with letters and with numbers."""

from typing import Any

import numpy as np
import sympy
import torch

from demist.core import CosineTable, LinearTable, Sigmoid, Table
from demist.course import COLOURS, figure
from exercises.work import Found, Work

CONFIGURATION = {
    "steps": 1000,
    "schedules": ["linear", "cosine", "sigmoid"],
    "walkers": 500_000,
    "x0": [-1.0, 2.0],
    "seed": 0,
}


def do(work: Work) -> Found:
    """Prove it; then let walkers take all steps of all schedules."""
    asked = work.asked
    found: dict[str, Any] = {"proved": proved()}
    pages, panes = figure(3, height=2.9, sharey=True)
    for k, (pane, name) in enumerate(zip(panes, asked["schedules"], strict=True)):
        other = asked | {"seed": asked["seed"] + k}  # each has noises of its own
        schedule = table(name, asked["steps"])
        seen = work.once(name, lambda a=schedule, b=other: walk(a, b))
        found[name] = {key: value for key, value in seen.items() if key != "curves"}
        pane.axhspan(-4, 4, color="#e4e4e4", linewidth=0)
        for label, colour in (("mean", "data"), ("variance", "path"), ("wrong formula", "noise")):
            places = np.linspace(10, asked["steps"], len(seen["curves"][label]))
            pane.plot(places, seen["curves"][label], color=COLOURS[colour], lw=1.2, label=label)
        pane.set_yscale("symlog", linthresh=4)
        ticks = (-4, 0, 4, 100, 10_000)
        pane.set(title=name, xlabel="step", ylim=(-12, 99_999), yticks=ticks, yticklabels=ticks)
        pane.minorticks_off()
    panes[0].set_ylabel("difference, standard errors")
    panes[0].legend(loc="center left", borderpad=0)
    alt = (
        "Three panels over 1000 steps. The differences of walked means and variances from the closed form stay in "
        "a grey band of four standard errors; those of a wrong formula are far above it."
    )
    return found, pages, alt


def proved() -> bool:
    """Whether one more step leads from the closed form to the closed form, and the first is right."""
    bar, kept = sympy.symbols("alphabar kappa", positive=True)  # kappa is 1 - beta
    signal = sympy.sqrt(kept) * sympy.sqrt(bar)
    variance = kept * (1 - bar) + (1 - kept)
    right = (signal - sympy.sqrt(kept * bar), variance - (1 - kept * bar))
    begins = (sympy.sqrt(bar).subs(bar, 1), (1 - bar).subs(bar, 1)) == (1, 0)
    return begins and all(sympy.simplify(one) == 0 for one in right)


def table(name: str, steps: int) -> Table:
    """The schedule of that name in so many steps, as in chapter 5."""
    if name == "sigmoid":
        alpha, _ = Sigmoid()(torch.linspace(0, 1, steps + 1, dtype=torch.float64)[1:])
        bars = torch.cat([torch.ones(1, dtype=torch.float64), alpha**2])
        return Table.from_betas((1 - bars[1:] / bars[:-1]).clamp(max=0.999))
    return {"linear": LinearTable, "cosine": CosineTable}[name](steps)


def walk(schedule: Table, asked: dict[str, Any]) -> dict[str, Any]:
    """Walkers from two places take every step, in float64; what the closed form says of each.

    `exact`: the squares of the shares of all noises against 1 - alpha_bar, the largest relative difference.
    `mean`, `variance`: the largest difference of the walkers from the closed form, in standard errors.
    `wrong`: share of the steps in which the variance (1 - sqrt(alpha_bar))^2, of who adds widths and not variances,
    is away by more than four.
    """
    chance, n = torch.Generator().manual_seed(asked["seed"]), asked["walkers"]
    bars = torch.cat([torch.ones(1, dtype=torch.float64), schedule.alpha_bar])
    starts = torch.tensor(asked["x0"], dtype=torch.float64)[:, None]
    x, shares = starts.repeat(1, n), torch.zeros(schedule.steps, dtype=torch.float64)
    z = torch.empty_like(x)  # filled anew in each step, so that memory is asked for once
    exact, rows = 0.0, []
    for i, beta in enumerate(1 - bars[1:] / bars[:-1]):
        z.normal_(generator=chance)
        x.mul_((1 - beta).sqrt()).add_(z.mul_(beta.sqrt()))
        shares *= (1 - beta).sqrt()
        shares[i] = beta.sqrt()
        signal, variance = bars[i + 1].sqrt(), 1 - bars[i + 1]
        exact = max(exact, abs(float((shares**2).sum() / variance) - 1))
        away = (x.mean(1) - signal * starts[:, 0]) / (variance / n).sqrt()
        seen, error = x.var(1).mean(), (2 / x.numel()) ** 0.5
        wrong = (1 - signal) ** 2
        rows.append(
            [away.sum() / 2**0.5, (seen / variance - 1) / error, (seen / wrong - 1) / error]
        )
    curves = dict(zip(("mean", "variance", "wrong formula"), torch.tensor(rows).T, strict=True))
    most = {label: float(curve.abs().max()) for label, curve in curves.items()}
    return {
        "exact": exact,
        "mean": round(most["mean"], 2),
        "variance": round(most["variance"], 2),
        "wrong": round(float((curves["wrong formula"].abs() > 4).double().mean()), 3),
        "curves": {
            label: [round(float(v), 2) for v in curve[9::10].clamp(-99_999, 99_999)]
            for label, curve in curves.items()
        },
    }
