"""Solvers and grids by name, for the command line and saved files.

A solver is found by importing the modules of this package: there is nothing to register. Options
follow the name: `ddim:eta=0.5`.
"""

import dataclasses
import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

import demist.samplers.solvers
from demist.core import Schedule
from demist.errors import UsageError
from demist.samplers import grids as grid
from demist.samplers.solver import Solver

GRIDS: dict[str, Callable[..., Tensor]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        grid.angular,
        grid.smooth,
        grid.uniform,
        grid.cosine,
        grid.shifted,
        grid.beta,
        grid.log_snr,
        grid.exponential,
        grid.karras,
        grid.trailing,
        grid.leading,
        grid.linspace,
    )
}
"""Grids by name: functions of the number of steps, the schedule if they ask for it, and options."""


@cache
def solver_classes() -> dict[str, type[Solver]]:
    """Every solver of this package by its name."""
    for module in pkgutil.iter_modules(demist.samplers.solvers.__path__):
        importlib.import_module(f"demist.samplers.solvers.{module.name}")

    def below(cls: type[Solver]) -> Iterable[type[Solver]]:
        for sub in cls.__subclasses__():
            yield sub
            yield from below(sub)

    ours = (cls for cls in below(Solver) if cls.__module__.startswith("demist."))  # type: ignore[type-abstract]
    return {cls.name: cls for cls in ours if not inspect.isabstract(cls)}


def solver_names() -> list[str]:
    """Names for `make_solver`, sorted."""
    return sorted(solver_classes())


def make_solver(spec: str) -> Solver:
    """A solver from `name` or `name:option=value,option=value`.

    Raises:
        UsageError: For an unknown name or option, or a value that does not fit.
    """
    name, _, rest = spec.partition(":")
    cls = solver_classes().get(name)
    if cls is None:
        raise UsageError(_unknown("solver", name, solver_names()))
    kinds = {
        f.name: f.metadata.get("parse", type(f.default))
        for f in dataclasses.fields(cls)  # type: ignore[arg-type]
    }
    options = _options(f"solver {name}", rest, kinds)
    try:
        return cls(**options)
    except ValueError as error:
        raise UsageError(f"solver {spec!r}: {error}") from None


def make_grid(name: str, n: int, schedule: Schedule) -> Tensor:
    """The grid `name` or `name:option=value,...`, such as `karras:rho=5`, with `n` steps.

    `name` may also be the times themselves, such as `1,0.6,0.2,0`; they bring their own number of
    steps.

    Raises:
        UsageError: For an unknown name or option, times out of order or numbers out of range.
    """
    spec, (name, _, rest) = name, name.partition(":")
    if "," in name:
        return _typed(name)
    if name not in GRIDS:
        raise UsageError(_unknown("grid", name, GRIDS))
    parameters = inspect.signature(GRIDS[name]).parameters
    kinds = {p.name: type(p.default) for p in parameters.values() if p.default is not p.empty}
    options: dict[str, Any] = _options(f"grid {name}", rest, kinds)
    if "schedule" in parameters:
        options["schedule"] = schedule
    try:
        return GRIDS[name](n, **options)
    except ValueError as error:
        raise UsageError(f"grid {spec!r}: {error}") from None


def _options(owner: str, text: str, kinds: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """Options from `option=value,option=value`, each read as its kind."""
    options = {}
    for item in filter(None, text.split(",")):
        key, _, value = item.partition("=")
        if key not in kinds:
            raise UsageError(_unknown(f"option of {owner}", key, kinds))
        try:
            options[key] = kinds[key](value)
        except ValueError:
            kind = kinds[key].__name__
            raise UsageError(f"{owner}: {key}={value!r} is not a valid {kind}") from None
    return options


def _typed(times: str) -> Tensor:
    try:
        typed = torch.tensor([float(word) for word in times.split(",")], dtype=torch.float64)
    except ValueError:
        raise UsageError(f"grid {times!r} is not a list of numbers such as 1,0.6,0.2,0") from None
    if typed[0] > 1 or typed[-1] != 0 or not (typed.diff() < 0).all():
        raise UsageError(f"grid {times!r} must fall from at most 1 to exactly 0")
    return typed


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"there is no {kind} called {name!r}.{hint} There are: {', '.join(known) or 'none'}"
