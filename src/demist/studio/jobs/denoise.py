"""The microscope: a sampling that is written down, from noise or from any step of another one."""

import io
import math
import os
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from demist import modalities
from demist.data.images.decode import read_image
from demist.drawing.spectrogram import below_full
from demist.editing.attending import LARGE, attending
from demist.editing.known import with_known
from demist.editing.masks import resized
from demist.editing.walks import inversion, returned
from demist.errors import UsageError
from demist.io import files
from demist.model import Pipeline, Plan, Sampling, Trace, open_model
from demist.model.recorder import Moment, Recording
from demist.model.recording import Change, recorded, resumed, unchanged
from demist.model.values import conditions_of, negative_of
from demist.studio import models, scripts
from demist.studio.asked import sampling_of
from demist.studio.store import is_id
from demist.studio.telling import Tell
from demist.studio.uploads import locate

TRACE = "trace.safetensors"
MOST = 2000
"""Samples at once."""
SHOWN = 32
"""Samples that can be looked at one by one; so many sounds are written as files."""
ROOM = 2**27
"""Bytes of attention to words in a trace."""
_OPEN: dict[str, Pipeline] = {}
"""The model that was opened last, by its folder and when that was written."""


@dataclass(frozen=True)
class Settings:
    """A sampling, or a branch of one; what is not said is as the model or the parent has it."""

    model: str = "model-digits"
    """Id of the model; a branch is of its parent's."""
    n: int = 8
    """How many samples."""
    cond: dict[str, str] = field(default_factory=dict)
    """Conditions by name, as they are typed; `none` for none."""
    negative: str | None = None
    """What guidance leads away from."""
    steps: int | None = None
    """Steps; of a branch those that are left to take."""
    solver: str | None = None
    """Name and options."""
    time_grid: str | None = None
    """Where the steps are."""
    guidance: float | None = None
    """Scale; 1 is none."""
    guidance_interval: str | None = None
    """Times between which there is guidance, such as 0.1:0.8."""
    guidance_rule: str | None = None
    """Name and options."""
    seed: int | None = None
    """Of the noise; of a branch, of the noise from there on."""
    image: str | None = None
    """Id of an uploaded picture to start from."""
    start: float = 1.0
    """Time to start at on that picture: how strong the change is."""
    parent: str | None = None
    """The job whose trace is branched; of an inversion one that leads back to data."""
    step: int = 0
    """Steps of it that are kept; of an inversion, those from whose end it goes back."""
    invert: bool = False
    """Walk from data to noise: from the picture, or from the samples of the parent."""
    keep: tuple[str, ...] = ()
    """Rows of 0 and 1 over the picture: where the parent's samples are kept; empty: nowhere."""

    def sampling(self) -> Sampling:
        """How to sample."""
        given = {
            "grid": self.time_grid, "guidance": self.guidance, "seed": self.seed,
            "guidance_interval": self.guidance_interval, "guidance_rule": self.guidance_rule,
            "steps": self.steps, "solver": self.solver or None,
        }  # fmt: skip
        return sampling_of(given)


def run(settings: Settings, folder: Path, tell: Tell) -> None:
    """Sample, show every step as `moment-NNN.png`, and write the trace and `code.json`.

    Raises:
        UsageError: A setting makes no sense.
        MissingError: There is no such model, parent or picture.
    """
    recording, script = begun(settings, folder)
    recording = worded(recording)
    files.write_json(folder / "code.json", script.to_json())
    before: Tensor | None = None
    steps = recording.plan.steps
    for moment in recording:
        at = time.monotonic()
        # The step that leads to data is told once the trace is there.
        told = facts(recording, moment, before)
        before = moment.x0
        if moment.step < steps:
            tell.preview(f"moment-{moment.step:03d}.png", sheet(recording, moment), at)
        tell.step(moment.step, steps, **told)
    trace = recording.trace()
    trace.save(folder / TRACE)
    pipeline = recording.plan.pipeline
    if modalities.of(pipeline).lasting:
        tell.preview(f"moment-{steps:03d}.png", _strip([trace.samples, trace.samples], pipeline))
        if not trace.rising:
            write_sounds(pipeline, trace.samples, folder)
    files.write_bytes(folder / "samples.png", picture(pipeline, trace.samples))


def begun(settings: Settings, folder: Path) -> tuple[Recording, scripts.Script]:
    """The recording that is asked for, and the program that makes the same."""
    if not 1 <= settings.n <= MOST:
        raise UsageError(f"n = {settings.n}: give 1 to {MOST} samples")
    if settings.parent is not None:
        return _branch(settings, folder)
    if settings.invert and settings.image is None:
        raise UsageError("give a picture to invert, or invert the samples of a finished sampling")
    place = models.locate(settings.model, Path(os.environ["DEMIST_STUDIO_RUNS"]))
    pipeline = opened(place)
    spec = "digits" if settings.model == "model-digits" else str(place)
    typed, negative = dict(settings.cond), settings.negative or None
    asked = _asked(pipeline, typed, negative)
    how = settings.sampling()
    script = scripts.Script(spec, str(pipeline.device)).sampled(
        settings.n, how, asked, typed, negative
    )
    if settings.image is not None:
        if not modalities.of(pipeline).spatial:
            raise UsageError("a picture can be started from by a model of images only")
        if not settings.invert and not 0 < settings.start <= 1:
            raise UsageError(f"start = {settings.start:g}: give a time above 0, up to 1")
        place = locate(settings.image, folder.parent.parent / "uploads") / "image.png"
        channels, *sides = pipeline.shape
        init = read_image(str(place), channels, (sides[0], sides[1]))
        if settings.invert:
            script = scripts.Script(spec, str(pipeline.device)).read(str(place), pipeline.shape)
            script = script.inverted("init[None]", how, asked)
            return inversion(pipeline, init[None], how, **asked), script
        asked["init"] = init
        asked["start"] = settings.start
        script = script.started(str(place), pipeline.shape, settings.start)
    return recorded(pipeline, settings.n, how, **asked), script


def worded(recording: Recording) -> Recording:
    """The same recording with attention to words, where the model was told some.

    Without a prompt, and for models of several stages, it stays as it is. Where the maps would take
    more than `ROOM` it does, too, and a warning says so.
    """
    try:
        found = attending(recording)
    except UsageError:  # it says that there are no words, or no one model that attends to them
        return recording
    assert found.words is not None
    plan, most = recording.plan, max(map(len, found.words.labels))
    size = 4 * plan.steps * plan.n * most * LARGE**2
    if size > ROOM:
        warnings.warn(
            f"attention to words is not recorded: of {plan.n} samples over {plan.steps} steps it "
            f"might take {size / 1e6:.0f} MB, more than {ROOM / 1e6:.0f} MB; ask for fewer samples "
            f"or steps to see it",
            stacklevel=2,
        )
        return recording
    return found


def _branch(settings: Settings, folder: Path) -> tuple[Recording, scripts.Script]:
    assert settings.parent is not None
    place = folder.parent / settings.parent
    if not is_id(settings.parent) or not (place / TRACE).is_file():
        raise UsageError("the trace to branch from is not there; let its sampling end first")
    trace = Trace.load(place / TRACE)
    script = scripts.Script.of_json(files.read_json(place / "code.json"))
    root = files.read_json(place / "job.json")["settings"]
    while root.get("parent") and is_id(root["parent"]):
        root = files.read_json(folder.parent / root["parent"] / "job.json")["settings"]
    model = str(root.get("model", Settings.model))
    pipeline = opened(models.locate(model, Path(os.environ["DEMIST_STUDIO_RUNS"])))
    typed, negative = dict(settings.cond), settings.negative or None
    changes, how = _asked(pipeline, typed, negative), settings.sampling()
    if settings.invert:
        return inversion(pipeline, trace, how, **changes), script.inverted("trace", how, changes)
    if trace.rising:
        if settings.keep:
            raise UsageError("a part is kept in a branch of the way back; come back first")
        back = returned(pipeline, trace, settings.step, how, **changes)
        return back, script.returned(settings.step, how, changes)
    # What is painted is kept: the branch of one that kept a part does so only if asked again.
    freed = "change" in trace.facts.get("also", ()) and not settings.keep
    script = script.resumed(settings.step, how, changes, typed, negative, settings.keep, freed)
    change: Change | None = unchanged if freed else None
    if settings.keep:
        if not modalities.of(pipeline).spatial:
            raise UsageError("a part can be kept of images only")
        masks = anew(settings.keep, trace)
        kept = trace.samples

        def change(plan: Plan) -> Plan:
            return with_known(plan, kept, masks)

    return resumed(pipeline, trace, settings.step, how, change=change, **changes), script


def anew(keep: tuple[str, ...], trace: Trace) -> np.ndarray:
    """Masks `(n, H, W)`, 1 where samples are made anew, from rows of 0 and 1 over what is kept.

    Raises:
        UsageError: They are no such rows.
    """
    if len({len(row) for row in keep}) != 1 or set("".join(keep)) - {"0", "1"}:
        raise UsageError("keep: give rows of 0 and 1, all of one length")
    mask = np.array([[1.0 - int(mark) for mark in row] for row in keep], np.float32)
    sides = (trace.shape[-2], trace.shape[-1])
    whole = (resized(mask, sides) > 0.5).astype(np.float32)
    return np.repeat(whole[None], trace.n, 0)


def opened(place: Path) -> Pipeline:
    """A model; the last one stays open as long as its files are the same."""
    newest = max((p.stat().st_mtime_ns for p in place.rglob("*.safetensors")), default=0)
    key = f"{place.absolute()}@{newest}"
    if key not in _OPEN:
        _OPEN.clear()
        _OPEN[key] = open_model(str(place))
    return _OPEN[key]


def _asked(pipeline: Pipeline, typed: dict[str, str], negative: str | None) -> dict[str, Any]:
    words = [f"{name}={value}" for name, value in typed.items()]
    found = conditions_of(pipeline, words)
    if negative is not None:
        found["negative"] = negative_of(pipeline, negative)
    return found


def facts(recording: Recording, moment: Moment, before: Tensor | None) -> dict[str, Any]:
    """Numbers of a moment, one for each sample: lengths per number, and the change of x0."""
    alpha, sigma = recording.plan.pipeline.denoiser.schedule(torch.tensor(moment.t).double())
    snr = float(2 * (alpha.log() - sigma.log()))
    found: dict[str, Any] = {
        "t": moment.t, "log_snr": snr if np.isfinite(snr) else None, "n": len(moment.x),
        "x": _rms(moment.x), "x0": _rms(moment.x0), "from": recording.step,
    }  # fmt: skip
    if before is not None:
        found["change"] = _rms(moment.x0 - before)
    last = recording.plan if recording.plan.then is None else recording.plan.then
    codec = last.pipeline.codec
    if codec.components:
        found["latents"] = "linear" if getattr(codec, "colours", ()) else "decoded"
    if recording.words is not None and recording.attended:
        found["words"] = recording.words.labels[0]
    return found


def _rms(x: Tensor) -> list[float | None]:
    """Root mean square of each sample; None where that is no number, as JSON has none for it."""
    some = x[:64].float().flatten(1).square().mean(1).sqrt().tolist()
    return [round(value, 6) if math.isfinite(value) else None for value in some]


def sheet(recording: Recording, moment: Moment) -> bytes:
    """A PNG: x_t in the upper row, the predicted x0 in the lower one, a column for each sample.

    Of sounds spectrograms; of points a page of all.
    """
    pipeline = recording.plan.pipeline
    rows = [recording.look(which, moment.step) for which in ("x", "x0")]
    if modalities.of(pipeline).lasting:
        return _strip(rows, pipeline)
    if not modalities.of(pipeline).spatial:
        pages = modalities.of(pipeline).film(rows)
        both = np.concatenate([np.asarray(page.convert("RGB")) for page in pages])
        return _png(both)
    both = np.concatenate([np.concatenate(list(row), -1) for row in rows], -2)
    return _png(both.transpose(1, 2, 0))


def _strip(rows: list[np.ndarray], pipeline: Pipeline) -> bytes:
    """Spectrograms of sounds, without margins, as `sheet` has images; of the first ones."""
    sounds = cast(modalities.Sounds, modalities.of(pipeline))
    drawn = [below_full(sounds.decibels(x[:SHOWN])) for x in rows]
    both = np.concatenate([np.concatenate(list(row), -1) for row in drawn], -2)
    return _png(both.transpose(1, 2, 0))


def write_sounds(pipeline: Pipeline, samples: np.ndarray, folder: Path) -> None:
    """The first sounds as `sound-000.wav` and so on, to be heard."""
    place = modalities.of(pipeline).write(samples[:SHOWN], folder / "sounds")
    assert place is not None
    for file in sorted(place.glob("*.wav")):
        file.rename(folder / f"sound-{file.name}")
    place.rmdir()


def picture(pipeline: Pipeline, samples: np.ndarray) -> bytes:
    """All samples on one page."""
    file = io.BytesIO()
    modalities.of(pipeline).draw(samples).save(file, "PNG")
    return file.getvalue()


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    flat = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(np.ascontiguousarray(flat)).save(file, "PNG", compress_level=1)
    return file.getvalue()
