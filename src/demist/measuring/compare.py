"""Two models of the same data, measured alike: `print(demist.compare("12", "13", n=1000))`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demist.errors import UsageError
from demist.evaluation.tables import against
from demist.measuring.candidate import Named
from demist.measuring.evaluate import Evaluation, Measurement
from demist.measuring.sets import Protocol
from demist.model.sampling import Sampling


@dataclass(frozen=True)
class Comparison:
    """What was found of two models.

    Attributes:
        first: Of the one.
        second: Of the other.
    """

    first: Evaluation
    second: Evaluation

    def to_json(self) -> dict[str, Any]:
        """The first, and in it the second as `against`."""
        return self.first.to_json() | {"against": self.second.to_json()}

    def table(self) -> str:
        """The differences in Markdown, with 95 % intervals."""
        names = (self.first.name, self.second.name)
        return against(self.first.report, self.second.report, names)

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        return str(self)

    def __str__(self) -> str:
        one, other = self.first, self.second
        parts = [f"# {one.name}", str(one), f"# {other.name}", str(other)]
        return "\n".join([*parts, "# Compared", self.table()])


def compare(
    one: Named,
    other: Named,
    *,
    n: int = 10_000,
    seeds: int = 3,
    data: str | None = None,
    sampling: Sampling | None = None,
    precision: str = "auto",
    extractor: Path | None = None,
    clip: str | Path | None = None,
    processes: int = 1,
    ray: bool = False,
) -> Comparison:
    """Measure two models with the same number of samples, and the differences.

    Args:
        one: A run, or a saved model.
        other: Another one.
        n: Samples of each; see `demist.evaluate`, also for the other arguments.
        seeds: Sets of samples.
        data: What to compare with; None: what `one` was trained on.
        sampling: How to sample.
        precision: While sampling.
        extractor: Feature extractor.
        clip: A run or folder of CLIP.
        processes: Share the sampling among so many.
        ray: Let Ray do the sampling.

    Raises:
        MissingError: There is no such model, data or extractor.
        UsageError: They do not go together.
    """
    if seeds < 2:
        raise UsageError(f"seeds = {seeds}: the intervals of a comparison need 2 or more")
    protocol = Protocol(n, seeds, sampling or Sampling(), precision)
    work = Measurement.of([one, other], protocol, data=data, extractor=extractor, clip=clip)
    found = Comparison(*work.evaluate(processes, ray))
    work.remove()
    return found
