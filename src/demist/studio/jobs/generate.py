"""Samples, in a batch or in a grid over two options, each with its recipe."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from demist.errors import UsageError
from demist.guidance import RULES
from demist.measuring import pages
from demist.model.sampling import Sampling, parse_stages
from demist.parts import with_option
from demist.samplers import GRIDS, SOLVERS
from demist.studio import making, models
from demist.studio.asked import sampling_of
from demist.studio.jobs.denoise import opened
from demist.studio.telling import Tell

MOST, POINTS = 400, 20_000
"""Samples at once: of most kinds, and of points."""


def _in(group: str, **more: Any) -> Any:
    """Where in the form an option stands, and what may be suggested for it."""
    return Field(json_schema_extra={"group": group, **more})


@dataclass(frozen=True)
class Settings:
    """What `demist sample` can be asked for; what is not said is as the model has it."""

    model: Annotated[str, _in("basic")] = "model-digits"
    """Id of the model."""
    cond: Annotated[dict[str, str | list[str]], _in("basic")] = field(default_factory=dict)
    """Conditions by name, as they are typed; several values are shared out in equal runs."""
    steps: Annotated[int | None, _in("basic", minimum=1, maximum=1000)] = None
    """From noise to data."""
    guidance: Annotated[float | None, _in("basic", minimum=0, maximum=100)] = None
    """How strongly class and prompt are followed; 1 is as learned."""
    seed: Annotated[int | None, _in("basic", minimum=0)] = None
    """Sample i depends on the seed and i alone."""
    n: Annotated[int, _in("batch", minimum=1, title="Pictures")] = 8
    """How many; of a grid one for each cell."""
    only: Annotated[int | None, _in("batch", minimum=0, title="Only number")] = None
    """Make just this one of them, counted from 0."""
    size: Annotated[str | None, _in("batch", only="images")] = None
    """Pixels, if not those of training: 512 or 768x512."""
    solver: Annotated[str | None, _in("solver", like=["auto", *SOLVERS.names()])] = None
    """Takes the steps; options after a colon, as in adams:p=2."""
    eta: Annotated[float | None, _in("solver", minimum=0, maximum=1, step=0.05)] = None
    """Fresh noise in every step: 0 is none, 1 is DDPM. Of ddim and the SDE solvers."""
    time_grid: Annotated[str | None, _in("solver", like=GRIDS.names(), title="Schedule")] = None
    """Where the steps are: angular, karras:rho=5, or the times: 1,0.6,0.2,0."""
    guidance_rule: Annotated[str | None, _in("guidance", like=RULES.names(), title="Rule")] = None
    """cfg, apg, rescale, ...; options after a colon."""
    guidance_interval: Annotated[str | None, _in("guidance", title="Between times")] = None
    """Such as 0.1:0.8; 0 is data, 1 is noise."""
    negative: Annotated[str | None, _in("guidance", title="Lead away from")] = None
    """A prompt, or a class of a model without prompts."""
    noise: Annotated[Literal["seeded", "torch"] | None, _in("further")] = None
    """torch: the numbers of torch's own generator, as elsewhere."""
    batch_size: Annotated[int | None, _in("further", minimum=1)] = None
    """Samples at once: for speed and memory."""
    condition_noise: Annotated[float | None, _in("further", minimum=0, maximum=1)] = None
    """Noise on a small image that is made large."""
    best_of: Annotated[int | None, _in("further", minimum=1)] = None
    """Draws of each sample, of a prior only."""
    rewrite: Annotated[bool, _in("further")] = True
    """Put prompts into the words of the model's captions."""
    stage: Annotated[tuple[str, ...], _in("further", title="Earlier stages")] = ()
    """How they are sampled: base:steps=30,solver=heun,guidance=4."""
    grid: Annotated[tuple[str, ...], _in("grid")] = ()
    """Rows, then columns: guidance=1,2,4 and seed=0:6."""
    weights: Annotated[str | None, _in("hidden")] = None
    """SHA-256 of the weights that a recipe names; others are refused."""

    def sampling(self) -> Sampling:
        """How to sample.

        Raises:
            UsageError: An option makes no sense.
        """
        typed = {
            "steps": self.steps, "solver": self._solver(), "grid": self.time_grid,
            "guidance": self.guidance, "guidance_interval": self.guidance_interval,
            "guidance_rule": self.guidance_rule, "noise": self.noise, "seed": self.seed,
            "batch_size": self.batch_size, "condition_noise": self.condition_noise,
            "best_of": self.best_of, "rewrite": None if self.rewrite else False,
        }  # fmt: skip
        return sampling_of({**typed, "stages": parse_stages(self.stage) or None})

    def _solver(self) -> str | None:
        if self.eta is None:
            return self.solver
        head = (self.solver or "auto").partition(":")[0]
        known = head not in ("auto", "published") and SOLVERS.options(SOLVERS.read(head).cls)
        if not known or "eta" not in known:
            raise UsageError(
                f"eta = {self.eta:g} is for ddim and the SDE solvers, and the solver is {head}; "
                f"choose ddim, or leave eta out"
            )
        return with_option(str(self.solver), "eta", f"{self.eta:g}")


def run(settings: Settings, folder: Path, tell: Tell) -> None:
    """Make them, show what is predicted as `preview.png`, and write what `making.write` says.

    Raises:
        UsageError: A setting makes no sense for this model.
        MissingError: There is no such model.
    """
    place = models.locate(settings.model, Path(os.environ["DEMIST_STUDIO_RUNS"]))
    pipeline = opened(place)
    most = POINTS if pages.of(pipeline).name == "points" else MOST
    if not 1 <= settings.n <= most:
        raise UsageError(f"n = {settings.n}: give 1 to {most} {pages.of(pipeline).name}")
    if settings.only is not None and not 0 <= settings.only < settings.n:
        raise UsageError(f"only = {settings.only}: there are {settings.n}, 0 to {settings.n - 1}")
    spec = "digits" if settings.model == "model-digits" else place.name
    order = making.ordered(pipeline, settings, spec)
    making.write(order, making.made(order, tell), folder)
