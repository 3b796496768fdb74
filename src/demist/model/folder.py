"""Models <-> JSON and safetensors: data in both directions, never code.

A part is written as its kind and its options, `{"kind": "VP", "beta_min": 0.1, ...}`, and read back
through the families of parts: a file names a row of a table, never a module.

A saved model is a folder in the layout of diffusers:

```
model_index.json                         codec, conditions, shape, defaults, facts; sums: see `sums`
unet/config.json                         the network's arguments (mlp/ or transformer/ for others)
unet/diffusion_pytorch_model.safetensors
scheduler/scheduler_config.json          schedule, parameterization, clock
autoencoder/...                          likewise, for a model in the latents of one
text_encoder/...                         a copy of a frozen text encoder; see `encoders`
```
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from demist import codecs, conditions, core, interop, networks, parts
from demist.errors import DataError, RefusedError
from demist.io.files import read_json, sha256, write_json
from demist.io.untrusted import inside
from demist.model import components, consistent, encoders, relearned
from demist.model.sums import INDEX as INDEX
from demist.model.sums import read_listed, read_sealed, require_sealed, sealed_index, short
from demist.networks.published import Published
from demist.runs import Run
from demist.runs.checkpoint import Checkpoint
from demist.version import __version__

FORMAT = 1
CODEC = "DemistCodec"
"""Class of a saved codec in its `model_index.json`; that of a model is `DemistPipeline`."""
CLIP = "DemistClip"
"""That of a saved CLIP; see `demist.model.learned_clip`."""
SCHEDULER = "scheduler/scheduler_config.json"
DENOISER = ("schedule", "parameterization", "clock", "input_std", "learn_variance", "bounds")
"""Attributes of a denoiser that are saved; older models have fewer."""


def places() -> dict[str, type[networks.Network]]:
    """Folder of a network in a saved model -> its class."""
    return {cls.folder or cls.name: cls for cls in networks.NETWORKS.classes}


def kinds() -> dict[str, type]:
    """Kind -> class of every part that a model may be saved with."""
    families = (
        *(core.SCHEDULES, core.PARAMETERIZATIONS, core.CLOCKS),
        *(codecs.CODECS, conditions.CONDITIONS),
    )
    return {kind: cls for family in families for kind, cls in family.kinds.items()}


def to_json(value: Any) -> Any:
    """JSON for a part of a model, or for a plain value; see `demist.parts`.

    Raises:
        TypeError: It is something else.
    """
    return parts.to_json(value, kinds())


def from_json(value: Any, where: str) -> Any:
    """The object written by `to_json`.

    Raises:
        DataError: The kind is unknown (perhaps of a newer version) or its fields make no sense.
    """
    return parts.from_json(value, where, kinds())


def modules_of(pipeline: Any) -> dict[str, nn.Module]:
    """The networks of a pipeline by the names of their folders, the denoiser's first.

    Raises:
        TypeError: The denoiser's is of no class that can be saved.
    """
    net = pipeline.denoiser.net
    if isinstance(net, Published):
        further = pipeline.codec.components.values()
        return {
            net.folder: net,
            **{getattr(part, "folder", "vae"): part for part in further},
            **interop.controls.folders(pipeline.controls),
        }
    # Not by its very class: torch derives another one for a network that is cut.
    found = [place for place, known in places().items() if isinstance(net, known)]
    if not found:
        known = ", ".join(cls.__name__ for cls in places().values())
        name = type(net).__name__
        raise TypeError(
            f"a {name} cannot be saved; networks that can: {known}, and your own, if they are "
            f"below demist.networks.Network and registered: NETWORKS.register({name})"
        )
    return {found[0]: net, **components.further_of(pipeline)}


def encoders_of(pipeline: Any) -> list[conditions.TextEncoder]:
    """The text encoders of a model of another maker."""
    known = pipeline.conditioner.conditions.values()
    return [encoder for c in known for encoder in getattr(c, "readers", ())]


def describe(pipeline: Any) -> dict[str, Any]:
    """All of a pipeline but its weights: name of a JSON file -> content."""
    denoiser = pipeline.denoiser
    place, *_ = modules_of(pipeline)
    name, further = places()[place].__name__, components.further_of(pipeline)
    return {
        INDEX: {
            "_class_name": "DemistPipeline",
            "_demist_version": __version__,
            "format": FORMAT,
            place: [places()[place].__module__.partition(".")[0], name],
            **components.classes_of(further),
            **encoders.rows(pipeline.conditioner),
            "shape": list(pipeline.shape),
            "codec": components.codec_json(pipeline.codec, to_json),
            "conditions": components.conditions_json(
                pipeline.conditioner, encoders.copied(pipeline.conditioner), to_json
            ),
            "defaults": pipeline.defaults.to_json(),
            "facts": dict(pipeline.facts),
            **({} if pipeline.bucket == 8 else {"bucket": pipeline.bucket}),
            **({"fits": pipeline.fits.to_json()} if pipeline.fits else {}),
        },
        f"{place}/config.json": {"_class_name": name, **denoiser.net.config},
        SCHEDULER: {key: to_json(getattr(denoiser, key)) for key in DENOISER},
        **{
            f"{key}/config.json": components.config_of(net, pipeline.codec)
            for key, net in further.items()
        },
    }


def weights_hash(pipeline: Any) -> str:
    """SHA-256 of the names and values of all networks' tensors, in hexadecimal.

    That of a model with stages depends on those of the stages, too.
    """
    own, second = components.hash_of(modules_of(pipeline)), pipeline.refinement
    stages = {feeder.name: feeder.pipeline for feeder in pipeline.feeders.values()}
    stages |= {"refiner": second.pipeline} if second is not None else {}
    if not stages:
        return own
    text = [own, *(f"{name}/{weights_hash(stage)}" for name, stage in stages.items())]
    return hashlib.sha256("\n".join(text).encode()).hexdigest()


def pieces(
    description: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    where: str,
    further: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The arguments of `Pipeline` from a description and the weights.

    Args:
        description: As `describe` gives it.
        tensors: Of the denoiser's network.
        where: For messages.
        further: The other networks and the folders of encoders, if the model has any.

    Raises:
        DataError: The description is not of this format, or the weights do not fit it.
    """
    index = description[INDEX]
    require_model(index, where)
    require_network(index, where)
    try:
        place = place_of(index)
        config = description[f"{place}/config.json"]
        net = components.build(places()[place], config, tensors, where)
        codec = from_json(components.with_networks(index["codec"], further or {}), where)
        parts_of = {**(further or {}), components.THE_CODEC: codec}
        known = components.with_networks(index["conditions"], parts_of)
        scheduler = from_json(description[SCHEDULER], where)
        consistent.require_declared(scheduler, consistent.SCHEDULER)
        consistent.require_declared(index, consistent.INDEX)
        made = {
            "denoiser": core.Denoiser(net, **scheduler).eval(),
            "codec": codec,
            "conditioner": conditions.Conditioner(from_json(known, where)),
            "shape": tuple(index["shape"]),
        }
        consistent.require_consistent(**made, where=where)
        return made | {
            "defaults": index["defaults"],
            "facts": index["facts"],
            "bucket": index.get("bucket", 8),
            "fits": index.get("fits"),
        }
    except (DataError, RefusedError):
        raise
    except Exception as error:  # what a file says may make a part raise anything
        raise DataError(f"{where} does not describe a model: {error}") from None


def of_run(run: Run, found: Checkpoint) -> dict[str, Any]:
    """The description of a run's model: that in its checkpoint, or of older ones in model.json.

    Raises:
        MissingError: There is none.
        DataError: It is damaged.
    """
    known = found.state.get("model")
    described = known if isinstance(known, dict) else read_sealed(run.description)
    if not isinstance(described.get(INDEX), dict):
        raise DataError(f"{run.path} does not describe a model: it lacks {INDEX}")
    return described


def require_model(index: Mapping[str, Any], where: str) -> None:
    """Check that an index is that of a model, of a format that is read here.

    Raises:
        DataError: It is not.
    """
    refuse_codec(index, where)
    if index.get("_class_name") != "DemistPipeline" or index.get("format") != FORMAT:
        names = ("_class_name", "format", "_demist_version")
        kind, number, version = (short(index.get(name)) for name in names)
        raise DataError(
            f"{where} holds a {kind} of format {number}, and this version ({__version__}) reads a "
            f"DemistPipeline of format {FORMAT}; if it is one, update demist to {version} or later"
        )


def refuse_codec(index: Mapping[str, Any], where: str) -> None:
    """Say what to do with a codec or a CLIP, where a model is wanted.

    Raises:
        DataError: `index` is that of one.
    """
    if index.get("_class_name") == CLIP:
        raise DataError(
            f"{where} is a CLIP, which makes no samples; it reads prompts for a model: demist "
            f"train PATH --text-encoder {where}, and measures one: demist evaluate --clip {where}"
        )
    if index.get("_class_name") == CODEC:
        raise DataError(
            f"{where} is a codec, which makes no samples by itself; train a model in its latents: "
            f"demist train PATH --codec {where}"
        )


def require_network(index: Mapping[str, Any], where: str) -> None:
    """Check that the network of a model is of a known class; a file never brings one.

    Raises:
        DataError: It is not.
    """
    if place_of(index) in index:
        return
    rows = [v[1] for v in index.values() if isinstance(v, list) and len(v) == 2]
    names = [short(name) for name in rows if isinstance(name, str)]
    if names:
        raise DataError(
            f"{where} has a network of the class {names[0]}, which is not known here; if it is "
            f"yours, register it first: demist.networks.NETWORKS.register(...)"
        )


def place_of(index: Mapping[str, Any]) -> str:
    """Folder of the network in a saved model; KeyError if it is of no known kind."""
    return next(iter([place for place in places() if place in index]), "no network")


def write(pipeline: Any, folder: Path) -> None:
    """Write a model into an existing, empty folder; one of another maker in that maker's form."""
    if pipeline.origin is not None:
        own = relearned.said(pipeline) if relearned.is_relearned(pipeline) else None
        interop.save(folder, pipeline.origin, modules_of(pipeline), encoders_of(pipeline), own)
        return
    description = describe(pipeline)
    sums = components.write(folder, modules_of(pipeline), pipeline.codec)
    sums |= encoders.write(folder, pipeline.conditioner)
    (folder / SCHEDULER).parent.mkdir()
    write_json(folder / SCHEDULER, description[SCHEDULER])
    sums[SCHEDULER] = sha256(folder / SCHEDULER)
    write_json(folder / INDEX, sealed_index(description[INDEX], sums))


def read(folder: Path) -> dict[str, Any]:
    """The arguments of `Pipeline` from a folder written by `write`.

    Raises:
        MissingError: A file is not there.
        DataError: The content is damaged or of another format.
        RefusedError: A file is a pickle, or a link out of the folder.
    """
    index = read_json(inside(folder, INDEX))
    require_model(index, str(folder))
    require_network(index, str(folder))
    require_sealed(index, folder / INDEX)
    place = place_of(index)
    names = (f"{place}/config.json", SCHEDULER)
    description = {INDEX: index, **{name: read_listed(folder, name, index) for name in names}}
    tensors = components.read_weights(folder, place, index)
    further = {**components.read(folder, index), **encoders.read(folder, index)}
    return pieces(description, tensors, str(folder), further)
