"""The networks of a model, by name: the denoiser's, then those of its codec and its conditions.

Each has a sub-folder of its own, listed in `model_index.json` with its class:

```
model_index.json                     "unet": ["demist", "UNet"], "autoencoder": [...], "sha256"
unet/...                             the denoiser's network
autoencoder/config.json              a further network's arguments
autoencoder/diffusion_pytorch_model.safetensors
```

A run keeps the networks that it does not train in the same sub-folders of its own folder, so that
it stays whole when the model they came from is gone.
"""

import dataclasses
import hashlib
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from demist import networks
from demist.codecs import ChannelScale, Codec
from demist.conditions import Conditioner, InLatents
from demist.errors import DataError, UsageError
from demist.io.files import sha256, write_json
from demist.io.folders import atomic_folder
from demist.io.tensors import read_tensors, require_same, write_tensors
from demist.io.untrusted import inside
from demist.model.keywords import sides
from demist.model.sums import read_listed, require_sum
from demist.networks.clip import Clip
from demist.networks.published import AutoencoderKL, AutoencoderTiny, Published, VQModel
from demist.parts.typed import require_types

WEIGHTS = "diffusion_pytorch_model.safetensors"
CODEC = "autoencoder"
THE_CODEC = "codec"
"""How conditions name the model's own codec, by which images become latents."""
FURTHER: dict[str, tuple[type[nn.Module], ...]] = {
    CODEC: (networks.Autoencoder, AutoencoderKL, AutoencoderTiny, VQModel),
    "image_encoder": (Clip,),
}
"""Folder of a network that is not the denoiser's -> the classes it may have, the usual one first.
The table is closed: a file names one of them, never a module."""


def classes_of(modules: Mapping[str, nn.Module]) -> dict[str, list[str]]:
    """The rows of `model_index.json` for further networks.

    Raises:
        TypeError: One is of no class in the table.
    """
    for name, net in modules.items():
        if name not in FURTHER or not isinstance(net, FURTHER[name]):
            raise TypeError(f"a {type(net).__name__} cannot be saved as {name!r}")
    return {name: ["demist", type(net).__name__] for name, net in modules.items()}


def config_of(net: Any, codec: Codec | None = None) -> dict[str, Any]:
    """What stands in a network's `config.json`.

    Args:
        net: The network.
        codec: Its codec: where the form of the network has a place for the scale of the latents,
            it is said there too, as pipelines of diffusers expect it.
    """
    config = {"_class_name": type(net).__name__, **net.config}
    scale: Any = getattr(codec, "scale", None)
    said = scale.published if isinstance(scale, ChannelScale) else {}
    needed = {key for key, value in said.items() if value not in (None, 0.0)}
    if isinstance(net, Published) and needed <= config.keys():
        config |= {key: value for key, value in said.items() if key in config}
    return config


def write(
    folder: Path, modules: Mapping[str, nn.Module], codec: Codec | None = None
) -> dict[str, str]:
    """Write further networks into their sub-folders of a folder that is being made.

    Returns:
        Name of each file written -> its SHA-256.
    """
    for name, net in modules.items():
        (folder / name).mkdir()
        _write(folder / name, net, codec)
    return _sums(folder, modules)


def keep(
    folder: Path, modules: Mapping[str, nn.Module], codec: Codec | None = None
) -> dict[str, str]:
    """As `write`, into a folder in use: each sub-folder is whole or not there at any moment."""
    for name, net in modules.items():
        with atomic_folder(folder / name, replace=True) as temporary:
            _write(temporary, net, codec)
    return _sums(folder, modules)


def _sums(folder: Path, modules: Mapping[str, nn.Module]) -> dict[str, str]:
    files = [f"{name}/{file}" for name in modules for file in ("config.json", WEIGHTS)]
    return {file: sha256(folder / file) for file in files}


def _write(folder: Path, net: nn.Module, codec: Codec | None) -> None:
    write_json(folder / "config.json", config_of(net, codec))
    write_tensors(folder / WEIGHTS, net.state_dict())


def read(folder: Path, index: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The further networks that `index` lists, from their sub-folders, on the CPU.

    Raises:
        MissingError: A file is not there.
        DataError: The content is damaged.
        RefusedError: A file is a pickle, or a link out of the folder.
    """
    found = {}
    for name in FURTHER:
        if name in index:
            config = read_listed(folder, f"{name}/config.json", index)
            tensors = read_weights(folder, name, index)
            found[name] = further(name, config, tensors, str(folder / name))
    return found


def further(name: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str) -> Any:
    """A further network from its configuration and its tensors, as `build` makes it.

    Raises:
        DataError: Its class is not known, or the tensors do not fit.
    """
    kinds = {kind.__name__: kind for kind in FURTHER[name]}
    called = config.get("_class_name", FURTHER[name][0].__name__)
    if called not in kinds:
        raise DataError(
            f"{where} is a network of class {called!r}, and there are {', '.join(kinds)}"
        )
    return build(kinds[called], config, tensors, where)


def read_weights(folder: Path, name: str, index: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of one network, after comparing their SHA-256 with that in `index`.

    Raises:
        MissingError: There is no such file.
        DataError: The content is damaged.
        RefusedError: The file is a pickle, or a link out of the folder.
    """
    weights = inside(folder, f"{name}/{WEIGHTS}")
    tensors = read_tensors(weights)
    require_sum(sha256(weights), f"{name}/{WEIGHTS}", index, weights)
    return tensors


def build(
    make: type[nn.Module], config: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str
) -> Any:
    """A network from its configuration and its tensors, in evaluation mode.

    Args:
        make: Its class.
        config: Its arguments; keys that begin with `_` are left out.
        tensors: They become its parameters, without a copy.
        where: For messages.

    Raises:
        DataError: There is no such network, or the tensors do not fit.
    """
    options = {key: value for key, value in config.items() if key[:1] != "_"}
    try:
        net: Any = _made(make, options, tensors, where)
    except Exception as error:  # what a file says may make a constructor raise anything
        raise DataError(f"{where} does not describe a model: {error}") from None
    require_same(net.state_dict(), tensors, where)
    _warn_of_broken(tensors, where)
    net.load_state_dict(dict(tensors), assign=True)
    return net.eval()


def _made(
    make: type[nn.Module], options: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str
) -> nn.Module:
    _require_sane(options, tensors)
    with torch.device("meta"):
        if issubclass(make, Published):
            return make.from_json(options, f"{where}/config.json")
        require_types(make, options)
        return make(**options)


def codec_json(codec: Codec, to_json: Callable[[Any], Any]) -> Any:
    """A codec's JSON; a field that is one of its networks is `{"component": name}`."""
    return _part_json(codec, codec.components, to_json)


def conditions_json(
    conditioner: Conditioner, folders: Mapping[str, str], to_json: Callable[[Any], Any]
) -> Any:
    """The JSON of conditions by name.

    Args:
        conditioner: They.
        folders: Folder that is copied -> its name in what is saved.
        to_json: Gives the JSON of other fields; those that are networks or folders are as in
            `codec_json`.
    """
    return {
        name: _part_json(
            c,
            {THE_CODEC: c.coder} if isinstance(c, InLatents) else c.saved_networks,
            to_json,
            {f: folders.get(f) for f in c.saved_folders},
        )
        for name, c in conditioner.conditions.items()
    }


def further_of(pipeline: Any) -> dict[str, nn.Module]:
    """The networks that are saved beside the denoiser's: those of the codec and of conditions."""
    conditions = pipeline.conditioner.conditions.values()
    own = {name: net for c in conditions for name, net in c.saved_networks.items()}
    return {**pipeline.codec.components, **own}


def _part_json(
    part: Any,
    modules: Mapping[str, Any],
    to_json: Callable[[Any], Any],
    folders: Mapping[str, str | None] = MappingProxyType({}),
) -> Any:
    names = {id(net): name for name, net in modules.items()}
    if not names and not any(folders.values()):
        return to_json(part)

    def field_json(value: Any) -> Any:
        if isinstance(value, tuple):
            return [field_json(item) for item in value]
        name = folders.get(value) if isinstance(value, str) else names.get(id(value))
        return {"component": name} if name else to_json(value)

    kept = [f for f in dataclasses.fields(part) if f.metadata.get("saved", True)]
    return {"kind": type(part).__name__} | {f.name: field_json(getattr(part, f.name)) for f in kept}


def with_networks(value: Any, made: Mapping[str, Any]) -> Any:
    """The JSON of a codec or of conditions with the networks and folders that it names put in.

    Raises:
        ValueError: One is missing.
    """
    if isinstance(value, list):
        return [with_networks(item, made) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"component"}:
        if value["component"] not in made:
            raise ValueError(f"it needs the network {value['component']!r}, which is absent")
        return made[value["component"]]
    return {key: with_networks(item, made) for key, item in value.items()}


def sized(pipeline: Any, size: tuple[int, int]) -> tuple[int, ...]:
    """The shape of images of height and width `size` that a pipeline is to make.

    Raises:
        UsageError: It cannot, for a reason that is named.
    """
    height, width = sides(size)
    what = f"size = ({height}, {width})"
    net = pipeline.denoiser.net
    multiple = getattr(net, "multiple", None)
    shape = (pipeline.shape[0], height, width)
    if shape == pipeline.shape:
        return shape
    if multiple is None:
        raise UsageError(
            f"{what}: a {type(net).__name__} makes only the size it was trained on, samples of "
            f"shape {pipeline.shape}; leave it out, or train a U-Net on images"
        )
    for name, condition in pipeline.conditioner.conditions.items():
        try:
            condition.sized(height, width)
        except UsageError as error:
            raise UsageError(f"{what}: the condition {name!r} {error}") from None
    factor = pipeline.codec.data_shape((1, multiple, multiple))[1]
    for control in pipeline.controls.values():  # some see their image in blocks of pixels
        factor = math.lcm(factor, int(control.config.get("downscale_factor", 1)))
    if min(height, width) < 1 or height % factor or width % factor:
        h, w = (max(1, round(side / factor)) * factor for side in (height, width))
        raise UsageError(
            f"{what}: this model needs sides that are multiples of {factor}; the nearest size has "
            f"height {h} and width {w}"
        )
    return shape


def hash_of(modules: Mapping[str, nn.Module]) -> str:
    """SHA-256 of the names and values of all tensors, in hexadecimal.

    The first network's tensors are named as they are, those of further ones with their network.
    """
    digest = hashlib.sha256()
    for i, (place, net) in enumerate(modules.items()):
        prefix = f"{place}/" if i else ""
        for name, tensor in sorted(net.state_dict().items()):
            digest.update(f"{prefix}{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


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
