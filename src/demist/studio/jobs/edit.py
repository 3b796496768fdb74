"""The brush: a picture changed by a model, whole or within a mask, as `demist edit` does it."""

import contextlib
import io
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from demist.editing import editor, kinds
from demist.editing.instructing import shown_image
from demist.editing.known import Fill
from demist.editing.redrawing import Edit, sides_of, told_masks
from demist.editing.sheet import Bytes, resize
from demist.errors import MissingError, UsageError
from demist.io import files
from demist.model import Pipeline, Sampling
from demist.model.images import shown
from demist.model.sampling import flag
from demist.model.values import PROMPT
from demist.studio import models, uploads
from demist.studio.asked import sampling_of
from demist.studio.jobs.denoise import opened
from demist.studio.store import is_id
from demist.studio.telling import Tell

ABOUT, MADE = "about.json", "edited.png"
MOST, WIDEST, AGAIN = 32, 4096, 100
"""Variants at once, pixels that are added at an edge or blended, and jumps."""
SEEN = 512
"""Pixels that the longer side of a preview has at most."""


@dataclass(frozen=True)
class Settings:
    """An edit; what is not said is as `demist edit` has it."""

    model: str = "model-digits"
    """Id of the model."""
    mode: Literal["look", "draw", "vary", "inpaint", "outpaint", "instruct"] = "inpaint"
    """What is done; look: nothing, but say what the model can; draw: pictures from noise alone."""
    image: str | None = None
    """Id of the uploaded picture."""
    parent: str | None = None
    """In its place, the edit of which a variant is edited."""
    variant: int = 1
    """Number of that variant."""
    mask: str | None = None
    """Id of the uploaded mask: white is made anew, black is kept, grey is a strength between."""
    threshold: float | None = None
    """Make the mask black and white, from this grey on."""
    extend: dict[str, int] = field(default_factory=dict)
    """Pixels to add, by edge: left, right, top, bottom."""
    instruct: str = ""
    """What to change, for a model that follows instructions."""
    image_guidance: float | None = None
    """How closely the picture is kept then."""
    strength: float | None = None
    """How much noise the picture gets first: 0 keeps it, 1 makes it anew."""
    fill: Fill = "original"
    """What the hole holds at the start, if the strength is below 1."""
    blend: int = 0
    """Pixels inside the mask in which the old picture passes into the new one."""
    jumps: int = 0
    """Times that each step is taken again."""
    only_masked: bool = False
    """Show the model only what lies around the mask."""
    padding: int = 32
    """Pixels around the mask that it is shown then."""
    n: int = 4
    """Variants: of a seed S they are those of S, S + 1, ..."""
    cond: dict[str, str] = field(default_factory=dict)
    """Conditions by name, as they are typed."""
    negative: str | None = None
    """What guidance leads away from."""
    steps: int | None = None
    """Steps."""
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
    seed: int = 0
    """Of the first variant."""

    def sampling(self) -> Sampling:
        """How to sample."""
        given = {
            "steps": self.steps, "solver": self.solver, "grid": self.time_grid,
            "guidance": self.guidance, "guidance_interval": self.guidance_interval,
            "guidance_rule": self.guidance_rule, "seed": self.seed,
        }  # fmt: skip
        return sampling_of(given)

    @property
    def how_strong(self) -> float:
        """The strength that holds."""
        if self.mode == "draw":
            return 1.0
        usual = 0.6 if self.mode == "vary" else 1.0
        return usual if self.strength is None else self.strength


def run(settings: Settings, folder: Path, tell: Tell) -> None:
    """Edit; writes `about.json`, and `edited-1.png`, `edited-2.png`, ... with their recipes.

    Every step shows what is predicted of variant k as `now-k.png`, already in its place.

    Raises:
        UsageError: A setting makes no sense, or the model cannot.
        MissingError: There is no such model or picture.
    """
    place = models.locate(settings.model, Path(os.environ["DEMIST_STUDIO_RUNS"]))
    pipeline = opened(place)
    about: dict[str, Any] = able(pipeline)
    if settings.mode == "look":
        files.write_json(folder / ABOUT, about)
        return
    _require(settings, about["modes"])
    image, mask = _pictures(settings, folder, pipeline)
    spec = "digits" if settings.model == "model-digits" else str(place)
    command = shlex.join(_command(settings, spec, image, mask))
    said: list[str] = []
    cond = editor.typed_conditions(
        pipeline, _no_files, [f"{k}={v}" for k, v in settings.cond.items()],
        negative=settings.negative or None,
    )  # fmt: skip
    outs = editor.variants(folder / MADE, settings.n)
    about |= {
        "said": said, "command": command, "files": [path.name for path in outs],
        "seeds": [settings.seed + i for i in range(settings.n)],
    }  # fmt: skip

    def make(edit: Edit) -> Sequence[Bytes]:
        _, height, width = edit.sheets[0].image.shape
        window = edit.sheets[0].window._asdict()
        now = {**about, "width": width, "height": height, "window": window}
        files.write_json(folder / ABOUT, now)
        return stepped(edit, tell, now)

    ready = editor.Editor(
        pipeline, settings.sampling(), cond, _kind(settings),
        editor.Masking(mask, threshold=settings.threshold),
        settings.extend, settings.only_masked, settings.padding, facts=_asked(settings, mask),
        writer=editor.Writer.of(pipeline, command, True), say=said.append, make=make,
    )  # fmt: skip
    ready.file(image, folder / MADE, settings.n)


def able(pipeline: Pipeline) -> dict[str, Any]:
    """What a model can do: its modes, and the sizes of its images and of its states.

    Raises:
        UsageError: It makes no images.
    """
    sides, modes = sides_of(pipeline), ["draw", "vary", "inpaint", "outpaint"]
    with contextlib.suppress(UsageError):
        shown_image(pipeline)
        modes += ["instruct"] if pipeline.conditioner.called(PROMPT) is not None else []
    return {
        "modes": modes, "sides": list(sides), "state": list(pipeline.state_shape[-2:]),
        "told": told_masks(pipeline) is not None,
    }  # fmt: skip


def stepped(edit: Edit, tell: Tell, about: Mapping[str, Any]) -> Sequence[Bytes]:
    """`edit.sample()`, of which every step is told and shown."""
    if edit.plan is None:
        return edit.sample()
    plan, watched = edit.plan.watched()
    batches, done = plan.batches(), []
    steps = len(batches) * plan.steps
    tell.step(0, steps, **about)
    for number, rows in enumerate(batches):
        for point in plan.states(rows):
            if point.index == 0:
                continue
            at = time.monotonic()
            seen = [model.seen for model in watched if model.seen is not None]
            sheets = [edit.sheets[i] for i in rows]
            look = replace(edit, sheets=sheets).finished(plan.preview(seen[-1][: len(rows)]))
            for i, image in zip(rows, look, strict=True):
                tell.preview(f"now-{i + 1}.png", _png(image), at)
            tell.step(number * plan.steps + point.index, steps, **about)
        done.append(point.x)
    return edit.finished(plan.decode(torch.cat(done)))


def _png(image: Bytes) -> bytes:
    """A preview: no larger than it is looked at."""
    _, height, width = image.shape
    if (share := SEEN / max(height, width)) < 1:
        image = resize(image, (max(1, round(height * share)), max(1, round(width * share))))
    file = io.BytesIO()
    shown(image[None])[0].to_pil().save(file, "PNG", compress_level=1)
    return file.getvalue()


def _require(settings: Settings, modes: Sequence[str]) -> None:
    """Check what the editor cannot know.

    Raises:
        UsageError: Something makes no sense.
    """
    if not 1 <= settings.n <= MOST:
        raise UsageError(f"n = {settings.n}: give 1 to {MOST} variants")
    if settings.mode not in modes:
        raise UsageError(f"this model cannot {settings.mode}; it can {', '.join(modes)}")
    if settings.mode == "instruct" and not settings.instruct.strip():
        raise UsageError("instruct: say what is to change, such as: make it red")
    if settings.mode == "inpaint" and settings.mask is None:
        raise UsageError("nothing is painted: paint what is to be made anew")
    if settings.mode == "outpaint" and not any(settings.extend.values()):
        raise UsageError("extend: say by how many pixels, at one edge or more")
    for name, most in (("blend", WIDEST), ("padding", WIDEST), ("jumps", AGAIN)):
        if not 0 <= getattr(settings, name) <= most:
            raise UsageError(f"{name} = {getattr(settings, name)}: give 0 to {most}")
    if wide := [edge for edge, pixels in settings.extend.items() if pixels > WIDEST]:
        raise UsageError(f"extend: {wide[0]} takes up to {WIDEST} pixels; go on in several edits")
    if settings.mode != "outpaint" and settings.extend:
        raise UsageError(f"extend goes with outpaint, and this is {settings.mode}")
    if settings.mode != "instruct" and settings.image_guidance is not None:
        raise UsageError(f"image_guidance goes with instruct, and this is {settings.mode}")
    if settings.mode != "outpaint" and (settings.mask is None or settings.mode == "vary"):
        for name in ("mask", "threshold", "only_masked", "padding", "fill", "blend", "jumps"):
            if getattr(settings, name) != getattr(_USUAL, name):
                raise UsageError(f"{name} is for a part of a picture, and this changes all of it")


def _pictures(settings: Settings, folder: Path, pipeline: Pipeline) -> tuple[Path, Path | None]:
    """The picture that is edited, and the mask."""
    kept = folder.parent.parent / "uploads"
    mask = None
    if settings.mode in ("inpaint", "instruct") and settings.mask is not None:
        mask = uploads.locate(settings.mask, kept) / "image.png"
    if settings.mode == "draw":
        # At strength 1 nothing is left of it, so that this is sampling, bit for bit.
        height, width = sides_of(pipeline)
        files.write_bytes(folder / "blank.png", _png(np.zeros((1, height, width), np.uint8)))
        return folder / "blank.png", None
    if settings.parent is not None:
        if not is_id(settings.parent):
            raise MissingError(f"there is no edit {settings.parent[:60]!r}")
        return _variant(settings, folder.parent / settings.parent), mask
    if settings.image is None:
        raise UsageError("there is no picture to edit: upload one, or draw one")
    return uploads.locate(settings.image, kept) / "image.png", mask


def _variant(settings: Settings, place: Path) -> Path:
    if not (place / ABOUT).is_file():
        raise MissingError(f"there is no edit {place.name[:60]!r}; it may have been thrown away")
    names = files.read_json(place / ABOUT).get("files", [])
    if not 1 <= settings.variant <= len(names):
        raise UsageError(f"variant = {settings.variant}: that edit has {len(names)}")
    path = place / Path(names[settings.variant - 1]).name
    if not path.is_file():
        raise MissingError("that variant is not there; let its edit end first")
    return path


def _kind(settings: Settings) -> kinds.Kind:
    strength, fill, jumps, blend = (
        settings.how_strong, settings.fill, settings.jumps, settings.blend
    )  # fmt: skip
    if settings.mode == "instruct":
        return kinds.Instruct(
            strength, fill, jumps, blend, settings.instruct, settings.image_guidance
        )
    return kinds.Redraw(strength, fill, jumps, blend)


def _asked(settings: Settings, mask: Path | None) -> dict[str, Any]:
    """What was asked of the edit, as `demist edit` writes it into its pictures."""
    given: dict[str, Any] = {
        "strength": 1.0 if settings.mode == "draw" else settings.strength,
        "extend": _edges(settings) or None, "upscale": None,
        "instruct": settings.instruct if settings.mode == "instruct" else None,
        "image_guidance": settings.image_guidance, "mask": None if mask is None else str(mask),
    }  # fmt: skip
    for name in ("threshold", "only_masked", "padding", "fill", "blend", "jumps"):
        if (value := getattr(settings, name)) != getattr(_USUAL, name):
            given[name] = value
    return {name: value for name, value in given.items() if value is not None}


def _edges(settings: Settings) -> str:
    return ",".join(f"{edge}={pixels}" for edge, pixels in settings.extend.items() if pixels)


def _command(settings: Settings, spec: str, image: Path, mask: Path | None) -> list[str]:
    """The command that makes the same pixels."""
    words = ["demist", "edit", spec, str(image)]
    for name, value in _asked(settings, mask).items():
        words += [f"--{flag(name)}", *([] if value is True else [str(value)])]
    for name, value in settings.cond.items():
        words += ["--cond", f"{name}={value}"]
    words += ["--negative", settings.negative] if settings.negative else []
    for name, value in settings.sampling().given().items():
        text = ":".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += [f"--{flag(name)}", text]
    return [*words, "--n", str(settings.n), "--out", MADE]


def _no_files(path: str, channels: int, sides: tuple[int, int] | None) -> np.ndarray:
    raise UsageError(
        "a condition that is an image takes a file, which the studio does not read by its name; "
        "use demist edit --cond"
    )


_USUAL = Settings()
