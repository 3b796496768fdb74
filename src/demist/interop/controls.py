"""ControlNets and T2I-Adapters: networks that read a further image beside a U-Net."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeGuard

import torch

from demist.codecs import Codec
from demist.conditions import Condition, ControlImage
from demist.errors import DataError, DemistError, MissingError, UsageError
from demist.interop.source import INDEX, FolderSource
from demist.io.files import read_json
from demist.io.untrusted import inside
from demist.networks.published import ControlNet, Published, T2IAdapter, UNet2DCondition
from demist.networks.published.blocks import levels_of

KINDS = (ControlNet.kind, T2IAdapter.kind)
"""Classes in `config.json`."""

SEVERAL = {ControlNet.folder: "MultiControlNetModel", T2IAdapter.folder: "MultiAdapter"}
"""Folder of the first of several networks -> their class in `model_index.json`."""

LED = {
    "StableDiffusionControlNetPipeline": ("StableDiffusionPipeline", "controlnet"),
    "StableDiffusionControlNetImg2ImgPipeline": ("StableDiffusionImg2ImgPipeline", "controlnet"),
    "StableDiffusionControlNetInpaintPipeline": ("StableDiffusionInpaintPipeline", "controlnet"),
    "StableDiffusionXLControlNetPipeline": ("StableDiffusionXLPipeline", "controlnet"),
    "StableDiffusionXLControlNetImg2ImgPipeline": (
        "StableDiffusionXLImg2ImgPipeline", "controlnet",
    ),
    "StableDiffusionXLControlNetInpaintPipeline": (
        "StableDiffusionXLInpaintPipeline", "controlnet",
    ),
    "StableDiffusionAdapterPipeline": ("StableDiffusionPipeline", "adapter"),
    "StableDiffusionXLAdapterPipeline": ("StableDiffusionXLPipeline", "adapter"),
}  # fmt: skip
"""Class of a model with control networks -> its class without, and the folder of the first."""

SAME = (
    "cross_attention_dim", "block_out_channels", "layers_per_block", "addition_embed_type",
    "projection_class_embeddings_input_dim", "class_embed_type",
)  # fmt: skip
"""Keys in which a ControlNet and its U-Net agree."""


class OneSided(ControlImage):
    """An image whose means alone are read (shuffle): only the guided side follows it."""

    kept: ClassVar[bool] = False


def read_control(place: Path, dtype: torch.dtype = torch.float32) -> ControlNet | T2IAdapter:
    """The network in a folder that holds nothing else.

    Args:
        place: The folder.
        dtype: What its weights are converted to.

    Raises:
        MissingError: A file is not there.
        DataError: It is no such network, or damaged.
        RefusedError: Its weights are a pickle, or a link leads out of the folder.
    """
    if (place / INDEX).is_file():
        kind = read_json(inside(place, INDEX)).get("_class_name")
        raise DataError(
            f"{place} holds a whole {kind}; name the folder of its control network, such as "
            f"{place / ControlNet.folder}"
        )
    if not (place / "config.json").is_file():
        raise MissingError(
            f"{place} has no config.json; a ControlNet or a T2I-Adapter is a folder with a "
            f"config.json and its weights"
        )
    source = FolderSource(place, {}, True, dtype)
    kind = source.config("").get("_class_name")
    if kind not in KINDS:
        raise DataError(f"{place} is a {kind}, and no control network: {' or '.join(KINDS)}")
    try:
        net = source.network("")
    except DemistError:
        raise
    except Exception as error:  # what a file says may make a network raise anything
        raise DataError(f"{place} does not describe a network: {error}") from None
    assert isinstance(net, ControlNet | T2IAdapter)
    return net


def alone(place: Path, kind: object) -> str:
    """What to do with a control network where a model is wanted; "" if `kind` is none."""
    if kind not in KINDS:
        return ""
    return (
        f"{place} is a {kind}, which makes no images by itself; give it to a model that it was "
        f"made for: demist sample MODEL --control {place}=image.png"
    )


def conditions_of(
    nets: Mapping[str, Published], net: object, codec: Codec, shape: tuple[int, ...]
) -> dict[str, Condition]:
    """The condition of each control network, by its name.

    Args:
        nets: Name of the condition -> control network.
        net: The network that they are put beside.
        codec: Of the model.
        shape: Of its images.

    Raises:
        UsageError: Nothing can be put beside this network.
        DataError: One does not fit.
    """
    if not isinstance(net, UNet2DCondition):
        raise UsageError(
            f"control images lead a UNet2DConditionModel (Stable Diffusion 1, 2, XL), and this "
            f"model's network is a {getattr(net, 'kind', type(net).__name__)}"
        )
    sides = (shape[-2], shape[-1])
    factor = codec.data_shape((1, net.multiple, net.multiple))[1] // net.multiple
    found: dict[str, Condition] = {}
    for name, control in nets.items():
        require_fit(name, control, net, factor)
        if isinstance(control, T2IAdapter):
            found[name] = ControlImage(sides, int(control.config["in_channels"]), control.maps)
        else:
            kind = OneSided if control.config["global_pool_conditions"] else ControlImage
            found[name] = kind(sides, int(control.config["conditioning_channels"]))
    return found


def name_of(number: int) -> str:
    """The name of a condition: control, control_2, ..."""
    return "control" if number == 1 else f"control_{number}"


def folders(controls: Mapping[str, Published]) -> dict[str, Published]:
    """Control networks by the names of their folders: `controlnet`, `controlnet_1`, ..."""
    found: dict[str, Published] = {}
    for net in controls.values():
        count = sum(other.folder == net.folder for other in found.values())
        found[f"{net.folder}_{count}" if count else net.folder] = net
    return found


def is_control(net: object) -> TypeGuard[ControlNet | T2IAdapter]:
    """Whether it is a control network."""
    return isinstance(net, ControlNet | T2IAdapter)


def listed(index: Mapping[str, Any]) -> dict[str, Any]:
    """A `model_index.json` in which several control networks have one row together."""
    found = dict(index)
    for first, several in SEVERAL.items():
        numbered = [name for name in index if name.startswith(f"{first}_")]
        for name in numbered:
            del found[name]
        if numbered:
            found[first] = ["diffusers", several]
    return found


def kind_with(kind: str, networks: Mapping[str, object]) -> str:
    """The class of a model that is saved with these networks.

    Raises:
        UsageError: There is none with such control networks.
    """
    held = {net.folder for net in networks.values() if is_control(net)}
    base = LED[kind][0] if kind in LED else kind
    if not held:
        return base
    led = [name for name, (plain, folder) in LED.items() if plain == base and {folder} == held]
    if not led:
        raise UsageError(
            f"diffusers has no pipeline for a {base} with {' and '.join(sorted(held))}; save the "
            f"model without and keep their folders"
        )
    return led[0]


def require_fit(name: str, control: Published, net: UNet2DCondition, factor: int) -> None:
    """Check that a control network is made for such a U-Net.

    Args:
        name: For messages.
        control: The control network.
        net: The U-Net.
        factor: How many times larger than the latents the images are.

    Raises:
        DataError: It is not.
    """
    if isinstance(control, T2IAdapter):
        made = list(zip(control.widths, control.strides, strict=True))
        wanted = _wanted(net, factor)
        if made not in (wanted, wanted[:-1]):
            raise DataError(
                f"{name} is a {control.kind} whose maps have channels and strides {made}, and this "
                f"model's U-Net takes {wanted[:-1]}: they are of different families"
            )
        return
    mine, its = {**control.config, "latents": control.channels[0]}, dict(net.config)
    mine["stride"] = 2 ** (len(mine["conditioning_embedding_out_channels"]) - 1)
    its |= {"latents": net.channels[1], "stride": factor}
    for key in (*SAME, "latents", "stride"):
        if mine.get(key) != its.get(key):
            raise DataError(
                f"{name} is a {control.kind} of {key} = {mine.get(key)}, and this model's U-Net is "
                f"of {its.get(key)}: they are of different families"
            )


def _wanted(net: UNet2DCondition, factor: int) -> list[tuple[int, int]]:
    """Channels and strides of the maps that are added on the way down, and in the middle."""
    wanted, stride = [], factor
    for wide, level in zip(
        net.config["block_out_channels"], levels_of(net.down_blocks), strict=True
    ):
        after = stride * 2 if level.halves else stride
        wanted.append((wide, stride if level.attends else after))
        stride = after
    return [*wanted, (wanted[-1][0], stride)]
