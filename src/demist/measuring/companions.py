"""What flags put beside a model: control networks with their images, and a refiner."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from demist.conditions import typed_control
from demist.data.images.decode import read_image
from demist.errors import UsageError
from demist.interop import Reading
from demist.io import files
from demist.model import controlled
from demist.model.open import RUNS, open_weak
from demist.model.pipeline import Pipeline


@dataclass(frozen=True)
class Companions:
    """What is put beside a model, as it was typed, so that another process does it again.

    Attributes:
        control: See `demist.model.controlled.from_flags`.
        refiner: The model that takes the last steps; None: the model's own, if it has one.
        refine_from: Time from which on it does; None: 0.2, or as the model says.
        runs: Folder in which run folders are.
    """

    control: tuple[str, ...] = ()
    refiner: str | None = None
    refine_from: float | None = None
    runs: str = str(RUNS)

    def __bool__(self) -> bool:
        return bool(self.control) or (self.refiner, self.refine_from) != (None, None)

    def join(
        self, pipeline: Pipeline, reading: Reading | None = None
    ) -> tuple[Pipeline, dict[str, Any]]:
        """The model with them, and the values of the conditions that come with control networks.

        Raises:
            UsageError: They do not fit it, or what was typed makes no sense.
            MissingError: One is not there.
            DataError: One is of another family, or damaged.
        """
        pipeline, given = controlled.from_flags(pipeline, self.control, read_image)
        own = pipeline.refinement
        if self.refiner is not None:
            if own is not None:
                pipeline = own.taken_from(pipeline)
            second = open_weak(self.refiner, pipeline, runs=Path(self.runs), reading=reading)
            start = 0.2 if self.refine_from is None else self.refine_from
            pipeline = pipeline.refined(second, start)
        elif self.refine_from is not None:
            if own is None:
                raise UsageError(
                    "--refine-from says when a refiner takes over; give one: --refiner"
                )
            pipeline = own.taken_from(pipeline).refined(own.pipeline, self.refine_from)
        return pipeline, given

    @property
    def facts(self) -> dict[str, Any]:
        """What decides samples beside weights, as JSON values; nothing where nothing is put."""
        if not self:
            return {}
        images = [Path(typed_control(controlled.split(text)[1])[0]) for text in self.control]
        told = asdict(self) | {"images": [files.sha256(one) for one in images if one.is_file()]}
        del told["runs"]
        return {"beside": {**told, "control": list(self.control)}}
