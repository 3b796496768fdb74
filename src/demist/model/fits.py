"""Ways of taking few steps that were fitted to a model: how they are found, kept and chosen."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from demist.core import Conditioned, Model, Prediction
from demist.errors import DataError, MissingError, UsageError
from demist.io.files import read_json, write_json
from demist.model.published import Way
from demist.model.sampling import Sampling
from demist.runs import Run
from demist.samplers import AUTO, Fit, Fitted, evaluations, fit, make_solver, usual
from demist.samplers import settled as settled_solver

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

FILE = "fits.json"
"""In a run: the fits of each step at which it was fitted, for other weights have other fits."""

NAME = Fitted.name
"""What a recipe says in place of a solver's name."""

STEPS = (3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20)
"""Numbers of steps that are fitted where nobody says which."""


@dataclass(frozen=True)
class Fits:
    """What was fitted to a model.

    Attributes:
        ways: Scale of guidance -> number of steps -> how to take them.
    """

    ways: Mapping[float, Mapping[int, Fit]] = field(default_factory=dict)

    def way(self, guidance: float | None, steps: int | None) -> Fit | None:
        """How to take so many steps with this guidance; None: it was not fitted."""
        return self.ways.get(guidance or 0.0, {}).get(steps or 0)

    def nearest(self, guidance: float | None, steps: int | None) -> Fit | None:
        """That of the nearest scale with a fit for so many steps."""
        scales = [scale for scale, ways in self.ways.items() if steps in ways]
        nearest = min(scales, key=lambda scale: abs(scale - (guidance or 0)), default=None)
        return self.way(nearest, steps)

    def joined(self, guidance: float, ways: Mapping[int, Fit]) -> "Fits":
        """These, and others of one scale, which stand in place of those of as many steps."""
        both = sorted((dict(self.ways.get(guidance, {})) | dict(ways)).items())
        return Fits(dict(sorted((dict(self.ways) | {guidance: dict(both)}).items())))

    def __bool__(self) -> bool:
        return bool(self.ways)

    def __str__(self) -> str:
        """For which steps and scales."""
        alike: dict[str, list[str]] = {}
        for scale, ways in self.ways.items():
            alike.setdefault(", ".join(map(str, ways)), []).append(f"{scale:g}")
        return "; ".join(
            f"{steps} steps at guidance {' and '.join(scales)}" for steps, scales in alike.items()
        )

    def to_json(self) -> list[dict[str, Any]]:
        """All of it, as plain values."""
        return [
            {"guidance": scale, "ways": {str(n): way.to_json() for n, way in ways.items()}}
            for scale, ways in self.ways.items()
        ]

    @classmethod
    def from_json(cls, told: Any, where: str) -> "Fits":
        """What `to_json` gave; None: nothing was fitted. One scale may stand without a list.

        Raises:
            DataError: It makes no sense.
        """
        found = cls()
        try:
            for one in [told] if isinstance(told, Mapping) else told or []:
                ways = {int(n): Fit.from_json(way) for n, way in one["ways"].items()}
                for n, way in ways.items():
                    if len(way.times) != n + 1:
                        raise ValueError(f"{n} steps have {n + 1} times, not {len(way.times)}")
                found = found.joined(float(one["guidance"]), ways)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where}: the fitted solver makes no sense: {error}") from None
        return found


def settled(pipeline: "Pipeline", full: Sampling) -> Sampling:
    """A complete recipe, its solver by name where it leaves the choice open.

    From pure noise, on no grid that somebody chose, and with the guidance that was fitted for, it
    is `fitted` where the model has a fit for so many steps; elsewhere solver and grid of the rule,
    `demist.samplers.usual`. Where sampling begins in between, or on a grid that is given, the
    solver is that of `demist.samplers.settled`. A recipe that says
    `fitted` and begins elsewhere, or has a grid of its own, such as what is left of a trace, is
    sampled by the rule's solver, with a warning.

    Raises:
        UsageError: `fitted` is asked for, and there is no such fit.
    """
    assert full.steps is not None
    fits, free = pipeline.fits, full.grid is None and full.start == 1
    if full.solver == NAME and not free:
        instead = settled_solver(AUTO, full.typed_steps or full.steps)
        where = "the grid is another" if full.start == 1 else f"sampling starts at {full.start:g}"
        warnings.warn(
            f"solver fitted has its own times from pure noise, but {where}: sampled by {instead}",
            stacklevel=2,
        )
        return replace(full, solver=instead)
    if full.solver == NAME and fits.nearest(full.guidance, full.steps) is None:
        raise UsageError(
            f"solver fitted: steps = {full.steps}, and fitted to this model are: {fits or 'none'}; "
            f"fit it (demist fit-solver MODEL --steps {full.steps} --out FOLDER), or leave the "
            f"solver out"
        )
    plain = full.guidance_interval is None
    rule = full.guidance_rule == pipeline.defaults.guidance_rule
    there = fits.way(full.guidance, full.steps) is not None
    if full.solver == AUTO and there and free and plain and rule:
        return replace(full, solver=NAME)
    if full.solver == AUTO and free and pipeline.origin is None:
        solver, grid = usual(pipeline.state_shape)
        own = grid == make_solver(solver).grid
        return replace(full, solver=solver, grid=None if own else grid)
    return full.settled()


def unshifted(pipeline: "Pipeline", how: Sampling, *, both_ways: bool = False) -> Sampling:
    """How to sample, neither by fitted steps nor on a shifted grid where nobody says so.

    For what counts steps, which the shift moves towards noise, or goes them from data to noise
    first.

    Raises:
        UsageError: Fitted steps are asked for, and they lead from noise to data alone.
    """
    if both_ways and how.solver == NAME:
        raise UsageError(
            "solver fitted: its steps lead from noise to data alone, and an inversion goes the "
            "other way first; leave the solver out"
        )
    full = how.over(pipeline.defaults)
    own = pipeline.origin is None or bool(pipeline.fits)  # others have the shift of their makers
    plain = own and full.solver == AUTO and full.grid is None
    return replace(how, grid="angular") if plain else how


def of_run(run: Run, step: int) -> list[Any] | None:
    """What is kept in a run of the weights of this step, for `Fits.from_json`; None: nothing.

    Raises:
        DataError: The file is damaged.
    """
    try:
        told = read_json(run.path / FILE)
    except MissingError:
        return None
    return told.get(str(step))


def keep(run: Run, pipeline: "Pipeline") -> None:
    """Write the fits of a run's model into the run, and into its saved model if it is the same."""
    step, file = pipeline.facts["step"], run.path / FILE
    known = read_json(file) if file.exists() else {}
    write_json(file, known | {str(step): pipeline.fits.to_json()})
    if run.model.is_dir():
        saved = type(pipeline).load(run.model)
        if saved.facts.get("step") == step:
            replace(saved, fits=pipeline.fits).save(run.model, replace=True)


def fitted_way(pipeline: "Pipeline", full: Sampling) -> Way | None:
    """The way that was fitted to the model; None: it is not asked for."""
    if full.solver != NAME:
        return None
    way = pipeline.fits.nearest(full.guidance, full.steps)
    assert way is not None
    return Way(way.solver, torch.tensor(way.times, dtype=torch.float64), full)


def fit_solver(
    pipeline: "Pipeline",
    steps: Sequence[int] = STEPS,
    *,
    starts: int = 64,
    guidance: float | None = None,
    seed: int = 0,
    progress: bool = False,
    **cond: Any,
) -> "Pipeline":
    """The model with a solver of its own for few steps; see `demist.samplers.fit`.

    What was fitted to it before, with other guidance or for other numbers of steps, stays.

    Args:
        pipeline: The model.
        steps: Numbers of steps.
        starts: From so many draws of noise: half to fit to, half to choose by.
        guidance: Scale; by default the model's own. The fit is used with this scale alone.
        seed: Of the noise.
        progress: Show a bar.
        cond: Conditions by name, one for all starts or one for each. Of those with a list of
            choices, such as classes, all are drawn evenly where none is given.

    Raises:
        UsageError: The model takes its last steps by a refiner, or an argument makes no sense.
    """
    if pipeline.refinement is not None:
        raise UsageError("a model with a refiner is two; fit each, and join them afterwards")
    bare = replace(pipeline, fits=Fits())
    for name, known in pipeline.conditioner.conditions.items():
        if known.choices and name not in cond:
            cond[name] = [known.choices[i % len(known.choices)] for i in range(starts)]
    asked = Sampling(guidance=guidance, seed=seed)
    plan = bare.plan(starts, asked, **cond)
    if plan.feeds:
        raise UsageError("a model of several stages is fitted stage by stage, from its own folder")
    scale = plan.sampling.guidance
    assert scale is not None
    model = _InBatches(plan.model, plan.cond, plan.sampling.batch_size or starts)
    with tqdm(total=cost(steps), unit="evaluation", leave=False, disable=not progress) as bar:
        try:
            found = fit(model, next(plan.states()).x, steps, done=bar.update)
        except ValueError as error:
            raise UsageError(str(error)) from None
    return replace(pipeline, fits=pipeline.fits.joined(scale, found))


def cost(steps: Sequence[int] = STEPS) -> int:
    """How often `fit_solver` asks the network about all starts, without guidance."""
    return evaluations(steps)


class _InBatches:
    """A model that is asked about some of the states at a time."""

    def __init__(self, model: Model, cond: Mapping[str, Any], size: int) -> None:
        self.model, self.schedule, self.cond, self.size = model, model.schedule, cond, size

    def __call__(self, x: Tensor, t: Tensor, **cond: Any) -> Prediction:
        parts = []
        for i in range(0, len(x), self.size):
            rows = slice(i, i + self.size)
            here = {name: value[rows] for name, value in self.cond.items()}
            parts.append(Conditioned(self.model, here)(x[rows], t, **cond))
        x0, eps = (torch.cat([getattr(p, name) for p in parts]) for name in ("x0", "eps"))
        return Prediction(x0, eps, parts[0].alpha, parts[0].sigma)
