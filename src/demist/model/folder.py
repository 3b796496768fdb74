"""Models <-> JSON and safetensors: data in both directions, never code.

An object is written as its class and its fields, `{"kind": "VP", "beta_min": 0.1, ...}`, and read
back through the closed tables below: a file names a row of a table, never a module.

A saved model is a folder in the layout of diffusers:

```
model_index.json                         codec, conditions, shape, defaults, facts
unet/config.json                         the network's arguments (mlp/ or transformer/ for others)
unet/diffusion_pytorch_model.safetensors
scheduler/scheduler_config.json          schedule, parameterization, clock
```
"""

import dataclasses
import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demist import codecs, conditions, core, networks
from demist.errors import DataError, UsageError
from demist.io.files import read_json, sha256, write_json
from demist.io.tensors import read_tensors, require_same, write_tensors
from demist.io.untrusted import inside
from demist.version import __version__

FORMAT = 1
INDEX, SCHEDULER = "model_index.json", "scheduler/scheduler_config.json"
DENOISER = ("schedule", "parameterization", "clock", "input_std", "learn_variance", "bounds")
"""Attributes of a denoiser that are saved; older models have fewer."""
WEIGHTS = "diffusion_pytorch_model.safetensors"
NETWORKS: dict[str, Any] = {"unet": networks.UNet, "mlp": networks.MLP, "transformer": networks.DiT}
"""Folder of a network in a saved model -> its class."""

KINDS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        *(core.Linear, core.VP, core.VE, core.Cosine, core.Sigmoid, core.Shifted),
        *(core.ZeroTerminal, core.Table),
        *(core.X0, core.Eps, core.V, core.Velocity, core.Score, core.Karras),
        *(core.time_clock, core.angle_clock, core.LogSNRClock, core.IndexClock),
        *(codecs.Pixels, codecs.Standardize),
        *(conditions.Label, conditions.Labels, conditions.Numbers, conditions.Text),
        *(conditions.FrozenText, conditions.States, conditions.Picture, conditions.Masked),
        conditions.LowResolution,
    )
}


def to_json(value: Any) -> Any:
    """JSON for an object of a kind in the table, or for a plain value.

    Raises:
        TypeError: The object's kind is not in the table.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, torch.Tensor):
        return value.tolist()
    kind = getattr(value, "__name__", type(value).__name__)
    if kind not in KINDS:
        raise TypeError(f"a {kind} cannot be saved; kinds that can: {', '.join(KINDS)}")
    if value is KINDS[kind]:  # a function, such as a clock
        return {"kind": kind}
    if kind == "Table":
        return {"kind": kind, "alpha_bar": value.alpha_bar.tolist()}
    fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return {"kind": kind} | fields


def from_json(value: Any, where: str) -> Any:
    """The object written by `to_json`.

    Raises:
        DataError: The kind is unknown (perhaps of a newer version) or its fields make no sense.
    """
    if isinstance(value, list):
        return tuple(from_json(item, where) for item in value)
    if not isinstance(value, dict):
        return value
    fields = {key: from_json(item, where) for key, item in value.items()}
    if "kind" not in fields:
        return fields
    kind = fields.pop("kind")
    if kind not in KINDS:
        raise DataError(
            f"{where}: unknown kind {kind!r}; known: {', '.join(KINDS)}. Update demist?"
        )
    make = KINDS[kind]
    try:
        if kind == "Table":
            return make(torch.tensor(fields["alpha_bar"], dtype=torch.float64))
        return make(**fields) if isinstance(make, type) else make
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"{where}: {kind} cannot be made from {fields}: {error}") from None


def describe(pipeline: Any) -> dict[str, Any]:
    """All of a pipeline but its weights: name of a JSON file -> content."""
    denoiser = pipeline.denoiser
    # Not by its very class: torch derives another one for a network that is cut.
    found = [place for place, known in NETWORKS.items() if isinstance(denoiser.net, known)]
    if not found:
        kind, known = type(denoiser.net), ", ".join(cls.__name__ for cls in NETWORKS.values())
        raise TypeError(f"a {kind.__name__} cannot be saved; networks that can: {known}")
    place, name = found[0], NETWORKS[found[0]].__name__
    return {
        INDEX: {
            "_class_name": "DemistPipeline",
            "_demist_version": __version__,
            "format": FORMAT,
            place: ["demist", name],
            "shape": list(pipeline.shape),
            "codec": to_json(pipeline.codec),
            "conditions": to_json(pipeline.conditioner.conditions),
            "defaults": dataclasses.asdict(pipeline.defaults),
            "facts": dict(pipeline.facts),
        },
        f"{place}/config.json": {"_class_name": name, **denoiser.net.config},
        SCHEDULER: {key: to_json(getattr(denoiser, key)) for key in DENOISER},
    }


def weights_hash(pipeline: Any) -> str:
    """SHA-256 of the names and values of the network's tensors, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(pipeline.denoiser.net.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


def pieces(description: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str) -> dict:
    """The arguments of `Pipeline` from a description and the weights.

    Raises:
        DataError: The description is not of this format, or the weights do not fit it.
    """
    index = description[INDEX]
    if index.get("_class_name") != "DemistPipeline" or index.get("format") != FORMAT:
        raise DataError(
            f"{where} holds a {index.get('_class_name')} of format {index.get('format')}, and this "
            f"version ({__version__}) reads a DemistPipeline of format {FORMAT}; if it is one, "
            f"update demist to {index.get('_demist_version')} or later"
        )
    try:
        place = place_of(index)
        config = {k: v for k, v in description[f"{place}/config.json"].items() if k[0] != "_"}
        _require_sane(config, tensors)
        with torch.device("meta"):
            net = NETWORKS[place](**config)
        require_same(net.state_dict(), tensors, where)
        _warn_of_broken(tensors, where)
        net.load_state_dict(dict(tensors), assign=True)
        scheduler = from_json(description[SCHEDULER], where)
        return {
            "denoiser": core.Denoiser(net, **scheduler).eval(),
            "codec": from_json(index["codec"], where),
            "conditioner": conditions.Conditioner(from_json(index["conditions"], where)),
            "shape": tuple(index["shape"]),
            "defaults": index["defaults"],
            "facts": index["facts"],
        }
    except (TypeError, KeyError, ValueError, UsageError) as error:
        raise DataError(f"{where} does not describe a model: {error}") from None


def place_of(index: Mapping[str, Any]) -> str:
    """Folder of the network in a saved model; KeyError if it is of no known kind."""
    return next(iter([place for place in NETWORKS if place in index]), "no network")


def write(pipeline: Any, folder: Path) -> None:
    """Write a model into an existing, empty folder."""
    description = describe(pipeline)
    for name, content in description.items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_json(folder / name, content)
    name = f"{place_of(description[INDEX])}/{WEIGHTS}"
    write_tensors(folder / name, pipeline.denoiser.net.state_dict())
    sums = {name: sha256(folder / name)}
    write_json(folder / INDEX, {**description[INDEX], "sha256": sums})


def read(folder: Path) -> dict[str, Any]:
    """The arguments of `Pipeline` from a folder written by `write`.

    Raises:
        MissingError: A file is not there.
        DataError: The content is damaged or of another format.
        RefusedError: A file is a pickle, or a link out of the folder.
    """
    index = read_json(inside(folder, INDEX))
    place = place_of(index)
    names = (f"{place}/config.json", SCHEDULER)
    description = {INDEX: index, **{name: read_json(inside(folder, name)) for name in names}}
    weights = inside(folder, f"{place}/{WEIGHTS}")
    tensors = read_tensors(weights)
    known = index.get("sha256", {})  # models of other makers have none
    if isinstance(known, dict) and known.get(f"{place}/{WEIGHTS}", "") not in ("", sha256(weights)):
        raise DataError(
            f"{weights} is damaged: its SHA-256 is not the one in {INDEX}. Copy it anew; if it was "
            f"changed on purpose, remove `sha256` from {INDEX}"
        )
    return pieces(description, tensors, str(folder))


def _require_sane(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Refuse a network that could not come from these weights before time is spent on making it."""
    layers = {"depth", "blocks"}
    for key, value in config.items():
        for number in value if isinstance(value, list) else [value]:
            most = len(tensors) if key in layers else 2**20
            if isinstance(number, int) and number > most:
                raise ValueError(f"{key} = {value!r} is more than {len(tensors)} tensors can hold")


def _warn_of_broken(tensors: Mapping[str, Tensor], where: str) -> None:
    broken = [k for k, v in tensors.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        warnings.warn(
            f"{len(broken)} of {len(tensors)} tensors in {where} hold NaN or infinity, first "
            f"{broken[0]!r}: what is sampled will be noise; train again with a lower --lr",
            stacklevel=2,
        )
