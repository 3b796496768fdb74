"""How to sample, as one value.

The same dataclass is the defaults of a model, what a command reads from its flags, what the axes of
`--grid` vary, and the recipe inside a PNG. What is None is said elsewhere: a call's `Sampling` lies
`over` the model's defaults, and these over `STANDARD`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from demist.errors import UsageError
from demist.model.keywords import by_name, checked
from demist.parts import bare, unknown
from demist.parts import parse as parse_options
from demist.parts.notation import PLAIN
from demist.samplers.usual import settled


@dataclass(frozen=True)
class Sampling:
    """How to sample; None: as the model's defaults say.

    Attributes:
        steps: Steps from `start` to data, at least 1. Times that are given bring their own number.
        solver: Name and options, such as `"ddim:eta=1"`; see `demist.samplers.make_solver`.
            `"auto"`: the model's own where one was fitted for so many steps, else by the shape of
            the state; see `demist.model.fits.settled`. `"fitted"`: the model's own.
            `"published"`: as the maker of the model samples; see `demist.model.published`.
        grid: Name and options, as in `demist.samplers.make_grid`, or the times themselves,
            decreasing from at most 1 to 0. If nobody says: the one that suits the solver.
            `"published"`: the times that the maker of the model visits.
        start: Time in [0, 1] at which sampling begins, on what `init` gives: 1 is pure noise, 0 is
            the data itself.
        guidance: Scale; 1 is none. Of a rule that starts from the null (`cfg`, `apg`, `rescale`),
            nothing without conditions.
        guidance_interval: Times between which there is guidance, the lower first; if nobody says,
            at all times.
        guidance_rule: Name and options, as in `demist.guidance.make_rule`: `"apg:parallel=0.2"`.
        noise: `"seeded"`, or `"torch"`: the numbers that `torch.manual_seed` gives on the CPU, with
            one seed drawn at once for all samples, so that a known seed gives the known image.
        seed: Sample i depends on (seed, i) only. With one seed per sample, each is what that seed
            gives as its first.
        batch_size: Samples at once, rounded up to whole buckets: changes speed and memory, and
            the samples by rounding at most.
        stages: How the models are sampled that make conditions of this one, by their names, where
            it is not as their own defaults say; see `demist.model.feeders`.
        condition_noise: Level, from 0 to 1, of the noise that sampling adds to a small image that
            is made large, and tells; see `demist.conditions.LowResolution`.
        rewrite: Whether prompts are put into the words of the model's captions, where it says how;
            see `demist.conditions.rewriting`.
        best_of: Draws of each sample, of which the best is kept; above 1 for a prior only, see
            `demist.model.best_of`.
    """

    steps: int | None = None
    solver: str | None = None
    grid: str | Sequence[float] | None = None
    start: float | None = None
    guidance: float | None = None
    guidance_interval: Sequence[float] | None = None
    guidance_rule: str | None = None
    noise: str | None = None
    seed: int | Sequence[int] | None = None
    batch_size: int | None = None
    stages: Mapping[str, Any] | None = None
    condition_noise: float | None = None
    rewrite: bool | None = None
    best_of: int | None = None

    def __post_init__(self) -> None:
        for name, value in self.given().items():
            right = checked(name, value)
            object.__setattr__(self, name, _of_stages(right) if name == "stages" else right)

    def over(self, other: "Sampling") -> "Sampling":
        """This, and where it says nothing, what `other` says."""
        given, below = self.given(), other.stages or {}
        if self.stages:
            both = {k: how.over(below.get(k, Sampling())) for k, how in self.stages.items()}
            given["stages"] = {**below, **both}
        return replace(other, **given)

    def settled(self) -> "Sampling":
        """A complete recipe, with a solver by name where it leaves the choice to the rule."""
        assert self.solver is not None
        assert self.steps is not None
        return replace(self, solver=settled(self.solver, self.typed_steps or self.steps))

    @property
    def typed_steps(self) -> int | None:
        """The steps of times that are typed; None: the grid is named, or nobody says one."""
        if not isinstance(self.grid, str | None):
            return len(self.grid) - 1
        times = (self.grid or "").partition(":")[0]
        return times.count(",") or None

    def given(self) -> dict[str, Any]:
        """The fields that are not None."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}

    def to_json(self) -> dict[str, Any]:
        """All that it says, as plain values; fields younger than format 1 only if not standard."""
        whole = asdict(self.over(STANDARD))
        young = [k for k in whole if k not in FIRST and whole[k] == getattr(STANDARD, k)]
        return {k: _plain(v) for k, v in whole.items() if k not in young}

    def recipe(self) -> dict[str, Any]:
        """`to_json` of what decides the samples: with the seed, without the batch size."""
        whole = {**self.to_json(), "seed": _plain(self.over(STANDARD).seed)}
        del whole["batch_size"]
        return whole


STANDARD = Sampling(20, "auto", None, 1.0, 1.0, None, "cfg", "seeded", 0, 32, None, 0.0, True, 1)
"""What holds where neither a call nor the model says anything."""

FIRST = ("steps", "solver", "grid", "guidance", "batch_size")
"""The fields that every saved model has."""

FIELDS = tuple(f.name for f in fields(Sampling))
"""Names of all fields."""

TAKEN = (
    *("n", "sampling", "rows", "size", "negative", "weak", "guide", "init", "constrain"),
    "progress",
)
"""Other names that `Pipeline.sample` takes, so that no condition may have them."""


def split(
    sampling: Sampling | None, arguments: Mapping[str, Any]
) -> tuple[Sampling, dict[str, Any]]:
    """Keyword arguments of `Pipeline.sample` parted: fields of `Sampling`, and conditions.

    Args:
        sampling: What holds where the keywords say nothing.
        arguments: Both kinds, by name; numbers may be those of NumPy and torch.
    """
    given = {
        name: None if value is None else checked(name, value)
        for name, value in arguments.items()
        if name in FIELDS
    }
    cond = {name: value for name, value in arguments.items() if name not in FIELDS}
    return Sampling(**given).over(sampling or Sampling()), cond


def require_free_names(conditions: Sequence[str]) -> None:
    """Raise UsageError if a condition has the name of an argument of `Pipeline.sample`."""
    for name in conditions:
        if name in FIELDS or name in TAKEN:
            raise UsageError(
                f"a condition cannot be called {name!r}, which says how to sample; give it another "
                f"name, such as {name + '_of'!r}"
            )


def flag(name: str) -> str:
    """What a field is called on the command line, without dashes in front."""
    return "time-grid" if name == "grid" else name.replace("_", "-")


def parse(name: str, word: str) -> Any:
    """A field's value from what was typed.

    Args:
        name: Of the field.
        word: Such as `20`, `0.1:0.8`, `ddim:eta=1`.

    Raises:
        UsageError: It makes no sense.
    """
    read, what = _READ.get(name, (str, ""))
    try:
        return read(word)
    except ValueError:
        raise UsageError(f"{flag(name)}={word}: not {what}") from None


def _interval(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    return float(low), float(high)


_READ: dict[str, tuple[Callable[[str], Any], str]] = {
    "steps": (int, "a whole number"),
    "start": (float, "a number"),
    "guidance": (float, "a number"),
    "guidance_interval": (_interval, "two times with a colon, such as 0.1:0.8"),
    "seed": (int, "a whole number"),
    "batch_size": (int, "a whole number"),
    "best_of": (int, "a whole number"),
    "condition_noise": (float, "a number"),
    "rewrite": (PLAIN[bool], "true or false"),
}


def parse_stages(texts: Sequence[str]) -> dict[str, Sampling]:
    """How stages are sampled, from `base:steps=30,solver=heun,guidance=4` for each.

    Raises:
        UsageError: One is not written so, or an option makes no sense.
    """
    found: dict[str, Sampling] = {}
    known = {flag(name): name for name in FIELDS if name != "stages"}
    for text in texts:
        name, options = parse_options(text)
        if not name or not options:
            raise UsageError(f"--stage {text}: write NAME:steps=30,solver=heun,guidance=4")
        typed = {key.replace("_", "-"): word for key, word in options.items()}
        for key in typed.keys() - known.keys():
            raise UsageError(f"--stage {text}: {unknown('option', key, known)}")
        how = Sampling(**{known[key]: parse(known[key], bare(w)) for key, w in typed.items()})
        found[name] = how.over(found.get(name, Sampling()))
    return found


def _of_stages(value: Mapping[str, Any]) -> dict[str, Sampling]:
    """Name of a stage -> how it is sampled."""
    found: dict[str, Sampling] = {}
    for name, how in value.items():
        if isinstance(how, Sampling):
            found[name] = how
            continue
        options = by_name(f"stages[{name!r}]", how)
        for key in options.keys() - (set(FIELDS) - {"stages"}):
            raise UsageError(f"stages[{name!r}]: {unknown('option', key, FIELDS)}")
        found[name] = Sampling(**options)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return list(value) if isinstance(value, tuple) else value
