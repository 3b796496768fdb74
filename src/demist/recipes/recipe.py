"""What a recipe is."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from demist.config import Stages, TrainConfig, divide, training_command


@dataclass(frozen=True)
class Expectation:
    """The number a recipe should give.

    Attributes:
        metric: What is measured.
        low: Smallest acceptable value.
        high: Largest acceptable value.
        measured: What it gave when it was last measured.
        how: The command that measures it.
        minutes: Wall-clock time of the training then.
        machine: Where that was.
    """

    metric: str
    low: float
    high: float
    measured: float | None = None
    how: str = ""
    minutes: float | None = None
    machine: str = ""

    def met(self, value: float) -> bool:
        """Whether `value` is acceptable."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Recipe:
    """A named training run.

    Attributes:
        name: For `demist train --recipe NAME`.
        config: Returns the options of the run.
        expect: What it should give; None while nobody has measured it.
        stages: Divides the options of the run, flags among them, into what is trained one after
            another; None: there is one stage. A codec that is to be trained first need not be among
            them, see `demist.config.stages`.
    """

    name: str
    config: Callable[[], TrainConfig]
    expect: Expectation | None = None
    stages: Callable[[TrainConfig], Stages] | None = None

    def divided(self, config: TrainConfig | None = None) -> Stages:
        """What `train` takes: all stages, of the recipe's options or of some that were changed."""
        config = config or self.config()
        found = divide(config, self.stages)
        if self.stages is None:
            return found
        return replace(found, command=f"{training_command(config)} --recipe {self.name}")

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.config.__doc__ or "").strip().splitlines()[0]


def recipe(
    name: str,
    expect: Expectation | None = None,
    stages: Callable[[TrainConfig], Stages] | None = None,
) -> Callable[[Callable[[], TrainConfig]], Recipe]:
    """Turn a function that returns options into a `Recipe`."""
    return lambda config: Recipe(name, config, expect, stages)
