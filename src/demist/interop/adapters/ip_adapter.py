"""IP-Adapter files: a model that is prompted by an image as well."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from demist.conditions import Conditioner, ImageEncoder, ImagePrompt
from demist.core import Denoiser
from demist.errors import DataError, MissingError, UsageError
from demist.interop.adapters.lora import named
from demist.interop.adapters.merge import replaced
from demist.io.files import read_json
from demist.io.tensors import read_tensors, require_same
from demist.io.untrusted import inside
from demist.networks.published import UNet2DCondition
from demist.networks.published.image_prompt import Decoupled, ImageTokens, Resampler
from demist.networks.published.layers import Attention

NAME = "image_prompt"
"""Of the condition."""


@dataclass(frozen=True, eq=False)
class IPAdapter:
    """What a file holds.

    Attributes:
        place: The file, for messages.
        tokens: Makes tokens of what an image encoder says.
        features: Numbers that the encoder says, of the image or of each patch.
        attention: Keys and values of each attention to the prompt, in the order of the file.
    """

    place: str
    tokens: ImageTokens | Resampler
    features: int
    attention: tuple[tuple[Tensor, Tensor], ...]

    @property
    def patches(self) -> bool:
        """Whether it reads the states of patches (its "plus" form)."""
        return isinstance(self.tokens, Resampler)


def read_ip_adapter(path: Path) -> IPAdapter:
    """The adapter in a file.

    Raises:
        MissingError: There is no such file.
        RefusedError: It is a pickle.
        DataError: It is damaged, or of a form that is not known; the first five names are told.
    """
    tensors = read_tensors(path)
    numbers = re.compile(r"ip_adapter\.(\d{1,6})\.to_([kv])_ip\.weight")
    found: dict[int, dict[str, Tensor]] = {}
    image, strange = {}, []
    for name, tensor in tensors.items():
        match = numbers.fullmatch(name)
        if match:
            found.setdefault(int(match[1]), {})[match[2]] = tensor.float()
        elif name.startswith("image_proj."):
            image[name.removeprefix("image_proj.")] = tensor.float()
        else:
            strange.append(name)
    odd = [number for number, pair in found.items() if len(pair) < 2]
    if strange or odd or not found or not image:
        what = f"has {named(strange)}, which this version does not know" if strange else "is not"
        raise DataError(
            f"{path} {what} a whole IP-Adapter: one holds image_proj and pairs of to_k_ip, to_v_ip"
        )
    net, features = _tokens(image, path)
    require_same(net.state_dict(), image, f"{path} (image_proj)")
    net.load_state_dict(image, assign=True)
    pairs = tuple((found[i]["k"], found[i]["v"]) for i in sorted(found))
    if not all(t.isfinite().all() for t in tensors.values()):
        raise DataError(f"{path} has NaN or infinity; the file is damaged")
    return IPAdapter(str(path), net.eval().requires_grad_(False), features, pairs)


def with_ip_adapter(
    denoiser: Denoiser,
    conditioner: Conditioner,
    adapter: IPAdapter,
    encoder: ImageEncoder,
    scale: float = 1.0,
) -> tuple[Denoiser, Conditioner]:
    """A denoiser that looks at an image, too; those given stay as they were.

    Args:
        denoiser: Of a U-Net that attends to a prompt.
        conditioner: Its conditions.
        adapter: What is added.
        encoder: Of images.
        scale: How much the image counts, usually up to 1.

    Raises:
        UsageError: The network is no such U-Net, or has an adapter.
        DataError: The file is for another one.
    """
    if not isinstance(denoiser.net, UNet2DCondition) or NAME in conditioner.conditions:
        raise UsageError(
            f"{adapter.place} is for the U-Net of Stable Diffusion 1, 2 or XL without another "
            f"IP-Adapter; this model is another one"
        )
    changed = replaced(denoiser, {})
    net = changed.net
    assert isinstance(net, UNet2DCondition)
    names = [name for name, module in net.named_modules() if name.endswith(".attn2")]
    order = [n for part in ("down_blocks.", "up_blocks.", "mid_block.") for n in names
             if n.startswith(part)]  # fmt: skip
    only = net.config_object.only_cross_attention
    if len(order) != len(adapter.attention) or (only if isinstance(only, bool) else any(only)):
        raise DataError(
            f"{adapter.place} has {len(adapter.attention)} layers and this U-Net attends to its "
            f"prompt in {len(order)}; it belongs to a model of another family"
        )
    for name, (keys, values) in zip(order, adapter.attention, strict=True):
        parent, plain = net.get_submodule(name.removesuffix(".attn2")), net.get_submodule(name)
        assert isinstance(plain, Attention)
        try:
            layer = Decoupled(plain, keys, values, adapter.tokens.tokens, scale)
        except UsageError as error:
            raise DataError(
                f"{adapter.place} belongs to a model of another family: {name} has {error}"
            ) from None
        parent.add_module("attn2", layer)
    net.routes[NAME] = "seen"
    prompt = ImagePrompt(encoder, adapter.tokens, adapter.patches)
    return changed, Conditioner({**conditioner.conditions, NAME: prompt})


def find_encoder(adapter: IPAdapter, folders: list[Path]) -> ImageEncoder:
    """The image encoder that an adapter was trained with, in the first folder that can be it.

    Raises:
        MissingError: It is in none of them.
    """
    key, wrong = "hidden_size" if adapter.patches else "projection_dim", []
    for folder in folders:
        if (folder / "config.json").is_file():
            width = read_json(inside(folder, "config.json")).get(key)
            if width == adapter.features:
                return ImageEncoder.from_folder(folder)
            wrong.append(f"{folder} has {key} = {width!r}")
    where = "; ".join(wrong) or f"there is none in {', '.join(map(str, folders))}"
    raise MissingError(
        f"{adapter.place} needs an image encoder (CLIPVisionModelWithProjection) with {key} = "
        f"{adapter.features}: {where}; say where with --image-encoder"
    )


def _tokens(image: Mapping[str, Tensor], path: Path) -> tuple[ImageTokens | Resampler, int]:
    """The layers that make tokens, to be filled, and how many numbers they are given."""

    def shape(name: str, axes: int) -> tuple[int, ...]:
        found = tuple(image[name].shape) if name in image else ()
        if len(found) != axes or math.prod(found) == 0:
            raise DataError(
                f"{path} makes tokens by layers that this version does not know, with "
                f"{named(list(image))}; it knows the plain and the plus form"
            )
        return found

    if "latents" not in image:
        (width,), (rows, features) = shape("norm.weight", 1), shape("proj.weight", 2)
        with torch.device("meta"):
            return ImageTokens(features, rows // width, width), features
    _, tokens, inner = shape("latents", 3)
    width, _ = shape("proj_out.weight", 2)
    _, features = shape("proj_in.weight", 2)
    heads, _ = shape("layers.0.0.to_q.weight", 2)
    depth = len({name.split(".")[1] for name in image if name.startswith("layers.")})
    with torch.device("meta"):
        return Resampler(features, tokens, width, inner, heads, depth), features
