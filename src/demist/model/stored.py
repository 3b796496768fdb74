"""Models read from where they lie, and written: what stands behind `Pipeline.load` and `save`."""

import dataclasses
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from demist import interop
from demist.errors import CannotCreateError, MissingError, UsageError
from demist.io import hub
from demist.io.files import write_text
from demist.io.folders import atomic_folder
from demist.io.untrusted import refuse_links_out
from demist.model import (
    card,
    components,
    encoders,
    fits,
    folder,
    relearned,
    stable_diffusion,
    staged,
)
from demist.model.feeders import bare
from demist.networks import SDNetwork
from demist.runs import Run, checkpoint, stages

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

Form = Literal["diffusers", "single", "comfy"]
"""Of a model for other programs: a folder, one file, the parts that ComfyUI loads."""


def read(place: Path, reading: interop.Reading | None) -> dict[str, Any]:
    """The arguments of `Pipeline` from a folder or file, ours or another maker's."""
    foreign = interop.is_published(place)
    parts = interop.read(place, reading) if foreign else folder.read(place)
    if origin := hub.origin_of(place):
        parts["facts"] = {**parts["facts"], "hub": origin}
    return parts


def read_run(run: Run, step: int | None) -> dict[str, Any]:
    """The arguments of `Pipeline` from a checkpoint of a run, the newest good one or of a step.

    Raises:
        MissingError: There is none.
        DataError: None is good.
    """
    refuse_links_out(run.path)
    if step is None:
        found = checkpoint.load_newest(run.checkpoints, warnings.warn, repair=False)
    else:
        known = checkpoint.steps(run.checkpoints)
        if step not in known:
            there = ", ".join(map(str, known)) or "none"
            raise MissingError(f"{run.path} has no checkpoint {step}; there are: {there}")
        found = checkpoint.load(run.checkpoints / checkpoint.folder_name(step))
    if found is None:
        raise MissingError(
            stages.unready(run)
            or f"{run.path} has no checkpoint; one is written every minute and at the end"
        )
    description = folder.of_run(run, found)
    index = description[folder.INDEX]
    folder.refuse_codec(index, str(run.path))
    if relearned.is_described(index):
        arguments = relearned.of_run(run.path, index, found.parts["ema"])
    else:
        further = {**components.read(run.path, index), **encoders.read(run.path, index)}
        arguments = folder.pieces(description, found.parts["ema"], str(run.path), further)
    facts = {**arguments["facts"], "step": found.step}
    return {**arguments, "facts": facts, "fits": fits.of_run(run, found.step)}


def save(pipeline: "Pipeline", place: Path, replace: bool) -> Path:
    """See `Pipeline.save`."""
    page = card.edited(place)
    with atomic_folder(place, replace=replace) as temporary:
        _fill(pipeline, temporary)
        if page is not None:
            write_text(temporary / card.NAME, page)
    return place


def _fill(pipeline: "Pipeline", place: Path) -> None:
    """Write a model, its stages and its page into an empty folder."""
    folder.write(bare(pipeline), place)
    staged.write(pipeline, place, _fill)
    write_text(place / card.NAME, card.card(pipeline))


def save_published(
    pipeline: "Pipeline", place: Path, form: Form, replace: bool, say: Callable[[str], None]
) -> Path:
    """See `Pipeline.save_published`."""
    if pipeline.origin is None and isinstance(pipeline.denoiser.net, SDNetwork):
        if form == "diffusers":
            return _save_stable_diffusion(pipeline, place, replace)
        with tempfile.TemporaryDirectory() as temporary:
            written = _save_stable_diffusion(pipeline, Path(temporary) / "model", False)
            again = type(pipeline).load(written)
            return save_published(again, place, form, replace, say)
    if pipeline.origin is None:
        source = interop.as_published(pipeline.denoiser, pipeline.codec, pipeline.state_shape)
        denoiser = interop.assembled(source)["denoiser"]
        pipeline = dataclasses.replace(pipeline, denoiser=denoiser, origin=source)
    assert pipeline.origin is not None
    if form == "diffusers":
        return save(pipeline, place, replace)
    if form == "single" and place.exists() and not replace:
        raise CannotCreateError(f"{os.fspath(place)} exists already; choose another name")
    interop.write_single(
        place, form, pipeline.origin, folder.modules_of(pipeline), folder.encoders_of(pipeline),
        say, replace=replace,
    )  # fmt: skip
    return place


def _save_stable_diffusion(pipeline: "Pipeline", place: Path, replace: bool) -> Path:
    if pipeline.refinement is not None or pipeline.feeders:
        raise UsageError(
            "a model with further stages is several models, and a StableDiffusionPipeline is one; "
            "export each by itself, from its own run"
        )
    with atomic_folder(place, replace=replace) as temporary:
        stable_diffusion.write(pipeline, temporary)
        source = interop.FolderSource.open(temporary)
        page = card.edited(place) or card.card(dataclasses.replace(pipeline, origin=source))
        write_text(temporary / card.NAME, page)
    return place
