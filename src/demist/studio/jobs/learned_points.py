"""The score that a run or a saved model of points in the plane has learned, for the page Field."""

import os
from dataclasses import dataclass
from pathlib import Path

from demist.codecs import Standardize
from demist.data.readers.toy import TOYS
from demist.errors import UsageError
from demist.io import files
from demist.model import Pipeline, open_model
from demist.studio import learned_score, models
from demist.studio.telling import Tell

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Settings:
    """Send the weights of a model of points in the plane to the page, which evaluates them."""

    model: str
    """Id of the model."""


def run(settings: Settings, folder: Path, tell: Tell) -> None:
    """Write the newest averaged weights, and in `learned.json` what they are.

    What was understood: conditions are null, as for samples that nobody asked anything of. Points
    of the sets that the page has too are in the data's units; all others as the model sees them, of
    mean 0 and variance 1, since the page shows the square from -3.6 to 3.6.

    Raises:
        UsageError: The model is not one that the page can evaluate.
        DemistError: It cannot be opened.
    """
    place = models.locate(settings.model, Path(os.environ["DEMIST_STUDIO_RUNS"]))
    pipeline = open_model(str(place), device="cpu")
    if pipeline.shape != (2,) or not isinstance(pipeline.codec, Standardize):
        raise UsageError(f"{place.name} is no model of points in the plane")
    if pipeline.refinement is not None:
        raise UsageError(f"{place.name} takes its last steps with a second model; open the first")
    told = facts(pipeline, place)
    codec = pipeline.codec if told["units"] == "data" else Standardize((0.0, 0.0), 1.0)
    net = pipeline.denoiser.net
    learned_score.write(
        folder / WEIGHTS, pipeline.denoiser, net.state_dict(),
        pipeline.conditioner.encode(1, {}) if pipeline.conditioner.conditions else None,
        codec.mean, codec.std,
    )  # fmt: skip
    told["numbers"] = sum(p.numel() for p in net.parameters())
    files.write_json(folder / "learned.json", told)
    tell.step(1, 1)


def facts(pipeline: Pipeline, place: Path) -> dict[str, object]:
    """Which model it is, what it learned from, and on which path."""
    data = pipeline.facts.get("data")
    schedule = learned_score.path_of(pipeline.denoiser)
    return {
        "name": place.name, "step": pipeline.facts.get("step"), "data": data,
        "items": pipeline.facts.get("items"), "schedule": schedule,
        "units": "data" if data in TOYS else "standard",
        "conditions": list(pipeline.conditioner.conditions),
    }  # fmt: skip
