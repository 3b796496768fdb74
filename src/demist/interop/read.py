"""A model of another maker, as the parts of a pipeline."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from demist.codecs import Pixels
from demist.conditions import Conditioner, EmbeddedGuidance
from demist.core import Denoiser
from demist.errors import DataError, DemistError, UsageError
from demist.interop.controls import alone
from demist.interop.families import FAMILIES, Opened
from demist.interop.relearned import OWN, Outline
from demist.interop.replaced import with_codec
from demist.interop.schedulers import read_scheduler
from demist.interop.single import open_file
from demist.interop.source import INDEX, FolderSource, Source
from demist.interop.weights import facts
from demist.io.files import read_json
from demist.io.hub import local
from demist.io.untrusted import inside
from demist.machine.precision import dtype_called

SAID = ("facts", "defaults")
"""Of what a model says of itself that it learned here, what is read; see `OWN`."""


@dataclass(frozen=True)
class Reading:
    """How a model is read and run: what its files leave open, or the user wants otherwise.

    Fields of their own are added by what needs them, each with a default that changes nothing. A
    field that is also one of `demist.commands.sampling.ModelOptions` is a flag.

    Attributes:
        dtype: What weights become while they are read, and what networks compute in: fp32, fp16 or
            bf16. An autoencoder never has fp16. Only for models of other makers.
        offload: Networks are on the device only while they run.
        tile: Images larger than 512 pixels go through the autoencoder in overlapping tiles.
        slice: The network runs on one sample at a time, guided and unguided.
        lora: Files whose changes are added to the networks, `FILE` or `FILE:0.8`.
        embedding: Files of words for prompts, `FILE` or `FILE=word`.
        codec: Folder of an autoencoder of the same latents, in place of the model's; "": its own.
        part: `NAME=PATH` of further files and folders of a model in parts: `vae=FILE`,
            `text=FILE`, `tokenizer_2=FOLDER`, ...
        prediction: `v` or `eps`, where a single file does not say what it predicts.
    """

    dtype: str = "fp32"
    offload: bool = False
    tile: bool = False
    slice: bool = False
    lora: tuple[str, ...] = ()
    embedding: tuple[str, ...] = ()
    codec: str = ""
    part: tuple[str, ...] = ()
    prediction: str | None = None


def is_published(place: Path) -> bool:
    """Whether it is of another maker: a file, a folder with an index not ours, or a U-Net alone."""
    if place.is_file():
        return True
    for name in (INDEX, "config.json"):
        if (place / name).is_file():
            return "_demist_version" not in read_json(inside(place, name))
    return False


def open_source(place: Path, reading: Reading) -> Source:
    """The components of a folder or a single file.

    Raises:
        MissingError: There is no codec where the reading says.
        DataError: Its index is damaged, the file is no model that is known, or it is a network
            that makes no images by itself.
        UsageError: The reading makes no sense for it.
    """
    dtype = dtype_called(reading.dtype)
    source: Source
    if place.is_file():
        source = open_file(place, reading.part, reading.prediction, dtype)
    elif reading.part or reading.prediction:
        raise UsageError(
            f"--part and --prediction are for a model in a single file, and {place} is a folder"
        )
    else:
        source = folder = FolderSource.open(place, dtype)
        if folder.flat and (why := alone(place, folder.config("").get("_class_name"))):
            raise DataError(why)
    return with_codec(source, local(reading.codec)) if reading.codec else source


def read(place: Path, reading: Reading | None = None) -> dict[str, Any]:
    """The arguments of `Pipeline` from a model of another maker.

    Args:
        place: A folder or a file.
        reading: How.

    Raises:
        MissingError: A file is not there.
        DataError: It is of a class that is not known, or damaged.
        RefusedError: Its weights are pickles, or a link leads out of it.
    """
    try:
        return assembled(open_source(place, reading or Reading()))
    except DemistError:
        raise
    except Exception as error:  # what a file says may make a part raise anything
        raise DataError(f"{place} does not describe a model: {error}") from None


def shape_of(place: Path) -> tuple[int, ...]:
    """Shape of what a model of another maker makes, `(C, H, W)`; no weights are read.

    Raises:
        As `read`.
    """
    try:
        shape: tuple[int, ...] = assembled(Outline(open_source(place, Reading())))["shape"]
        return shape
    except DemistError:
        raise
    except Exception as error:
        raise DataError(f"{place} does not describe a model: {error}") from None


def assembled(source: Source) -> dict[str, Any]:
    """The arguments of `Pipeline` from the components of a model."""
    kind = str(source.index.get("_class_name"))
    if kind not in FAMILIES:
        raise DataError(
            f"{source.place} holds a {kind!r}, which is not known; known are "
            f"{', '.join(FAMILIES)}; any other, opened by diffusers, goes through "
            f"demist.interop.wrap"
        )
    name, own = source.denoising, source.index.get(OWN, {})
    if not isinstance(own, dict) or not all(isinstance(own.get(k, {}), dict) for k in SAID):
        raise DataError(f"{source.place}: {OWN} in its index does not say what it learned")
    opened = Opened(source, name, source.network(name))
    scheduled = read_scheduler(source.scheduler(), source.where("scheduler/scheduler_config.json"))
    around = FAMILIES[kind](opened)
    multiple = getattr(opened.net, "multiple", 1)
    if any(side % multiple for side in opened.sides):
        raise DataError(
            f"{source.where(name)} makes latents of {opened.sides[0]} x {opened.sides[1]}, and its "
            f"blocks need sides that are multiples of {multiple}; mend sample_size in its config"
        )
    inputs, outputs = opened.net.channels
    learned = outputs == 2 * inputs
    denoiser = Denoiser(
        opened.net,
        scheduled.schedule,
        scheduled.parameterization,
        clock=scheduled.clock,
        learn_variance=learned,
        bounds=scheduled.bounds if isinstance(around.codec, Pixels) else None,
        dtype=None if source.dtype == torch.float32 else source.dtype_of(name),
    )
    if not all(math.isfinite(side) for side in scheduled.bounds or ()):
        raise DataError(f"{source.place} clamps its samples to {scheduled.bounds}")
    state = (outputs // (1 + learned), *opened.sides)
    shape = around.codec.data_shape(state)
    if around.codec.state_shape(shape) != state:
        raise DataError(
            f"the autoencoder of {source.place} makes states of shape "
            f"{around.codec.state_shape(shape)} and its network {state}; take another autoencoder"
        )
    scales = [c.default for c in around.conditions.values() if isinstance(c, EmbeddedGuidance)]
    told = {"guidance": scales[0]} if scales else {}
    return {
        "denoiser": denoiser.eval(),
        "codec": around.codec,
        "conditioner": Conditioner(around.conditions),
        "shape": shape,
        "defaults": {**around.defaults, **told, **own.get("defaults", {})},
        "facts": {**own.get("facts", {}), "maker": kind, **facts(opened.net)},
        "bucket": 1,
        "controls": around.controls,
        "origin": source,
    }
