"""A model with its page on the Hugging Face hub."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from demist.io import hub
from demist.io.files import write_text
from demist.model import card
from demist.model.folder import INDEX
from demist.model.open import RUNS, locate
from demist.model.pipeline import Pipeline
from demist.runs import Run

SAMPLES = "samples.png"


def publish(
    spec: str,
    name: str,
    *,
    at_step: int | None = None,
    licence: str | None = None,
    private: bool = False,
    runs: Path = RUNS,
) -> str:
    """Upload a model: its folder, a page made from its facts, and the samples of its run.

    The page has the data, the command that trains it again, how to sample, the table of an
    evaluation if there was one, and the licence if it is told. One that a person wrote is kept.

    Args:
        spec: See `demist.model.open.locate`.
        name: `hf:owner/name[@branch]`; made if it is not there.
        at_step: Checkpoint of a run; None: the finished model, else the newest.
        licence: As the hub calls it, such as "cc-by-4.0".
        private: Whether nobody else sees a repository that is made.
        runs: Folder in which run folders are.

    Returns:
        Where it is to be seen.

    Raises:
        UsageError: `name` is no name of the hub.
        MissingError: There is no such model, or no huggingface_hub.
        RefusedError: One may not write there.
        TryAgainError: The hub cannot be reached.
    """
    target = hub.parse(name)
    place = locate(spec, runs)
    run = None if (place / INDEX).is_file() else Run(place)
    saved = place if run is None else run.model
    if run is None or (at_step is None and (saved / INDEX).is_file()):
        pipeline = Pipeline.load(saved)
    else:
        pipeline = Pipeline.from_run(run, at_step)
    if licence is not None:
        pipeline = replace(pipeline, facts={**pipeline.facts, "license": licence})
    with tempfile.TemporaryDirectory() as temporary:
        folder = pipeline.save(Path(temporary) / "model")
        samples = _samples(run, folder)
        table = card.table_in(saved) if at_step is None else ""
        page = card.edited(saved) or card.card(
            pipeline, place=str(replace(target, revision=None)), samples=samples, table=table
        )
        write_text(folder / card.NAME, page)
        return hub.upload(folder, name, private=private, message=f"{hub.title(place)}, by demist")


def _samples(run: Run | None, folder: Path) -> str | None:
    """The newest samples of a run, beside the page; None if it has drawn none."""
    drawn = sorted(run.image(0).parent.glob("step-*.png")) if run is not None else []
    if not drawn:
        return None
    shutil.copyfile(drawn[-1], folder / SAMPLES)
    return SAMPLES
