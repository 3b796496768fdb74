"""Which layers of a model a LoRA means, whatever its maker calls them.

Dots and underscores are one to this search, so that `lora_unet_mid_block_attentions_0_proj_in` and
`unet.mid_block.attentions.0.proj_in` are the same layer.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from demist.errors import DataError
from demist.interop.adapters.lora import Lora, LowRank, named, shown

NET = ("unet", "transformer")
T5 = ("text_encoder_3", "text_encoder_2")
TEXT = ("text_encoder", "text_encoder_2", "text_encoder_3")
PREFIXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("lora_unet_", NET), ("lora_transformer_", NET), ("lycoris_", NET),
    ("unet.", NET), ("transformer.", NET),
    ("model.diffusion_model.", NET), ("diffusion_model.", NET),
    ("lora_te1_", ("text_encoder",)), ("lora_te2_", ("text_encoder_2",)), ("lora_te3_", T5),
    ("lora_te_", ("text_encoder",)),
    ("text_encoder.", ("text_encoder",)), ("text_encoder_2.", ("text_encoder_2",)),
    ("text_encoder_3.", ("text_encoder_3",)),
    ("text_encoders.clip_l.transformer.", ("text_encoder",)),
    ("text_encoders.clip_g.transformer.", ("text_encoder_2",)),
    ("text_encoders.t5xxl.transformer.", T5),
    ("clip_l.transformer.", ("text_encoder",)), ("clip_g.transformer.", ("text_encoder_2",)),
    ("t5xxl.transformer.", T5), ("base_model.model.", (*NET, *TEXT)), ("", (*NET, *TEXT)),
)  # fmt: skip
"""How the name of a layer begins -> the components it may mean."""

OLD_TEXT = {"to_q_lora": "q_proj", "to_k_lora": "k_proj", "to_v_lora": "v_proj",
            "to_out_lora": "out_proj"}  # fmt: skip
"""Names of CLIP's attention in the first LoRAs of diffusers."""

FAMILIES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}
"""Width of the prompt's tokens -> the family that is known for it."""


@dataclass(frozen=True)
class Target:
    """Weights that a layer of a file means.

    Attributes:
        component: Such as `unet`.
        weights: Name of the parameter.
        take: Which equal shares of the file's rows it has,
        of: of how many.
    """

    component: str
    weights: str
    take: tuple[int, ...] = (0,)
    of: int = 1


Aliases = Mapping[str, Sequence[Target]]
"""Names of layers, underscored, in another layout -> what they mean."""


@dataclass(frozen=True)
class Change:
    """A layer's change that has found its place.

    Attributes:
        target: Its place.
        layer: What is added there.
    """

    target: Target
    layer: LowRank

    def delta(self, like: Tensor) -> Tensor:
        """What is added to the weights `like`, in float32 and in their shape."""
        shares = self.layer.delta(like.device).chunk(self.target.of)
        return torch.cat([shares[i] for i in self.target.take]).reshape(like.shape)


def fitted(
    lora: Lora, components: Mapping[str, nn.Module], aliases: Aliases | None = None
) -> list[Change]:
    """The changes of a file at their places in a model.

    Args:
        lora: The file.
        components: Networks by name.
        aliases: Further names of the denoising network's layers.

    Raises:
        DataError: Some layers are not in the model, or have other shapes there.
    """
    weights = {name: _weights(net) for name, net in components.items()}
    index = {name: _index(found) for name, found in weights.items()}
    numbered = {name: _numbered(lora, name, components) for name in lora.classes}
    changes, lost = list[Change](), list[str]()
    for stem, layer in lora.layers.items():
        head, colon, number = stem.partition(":")
        if colon and number.isdecimal():
            order = numbered.get(head, [])
            targets = [Target(head, order[int(number)])] if int(number) < len(order) else []
        else:
            targets = _targets(stem, index, aliases or {})
        changes += [Change(target, layer) for target in targets]
        lost += [] if targets else [stem]
    has = ", ".join(components)
    if len(lost) == len(lora.layers):
        raise DataError(
            f"{lora.place} matches nothing in this model ({has}): its layers are {named(lost)}; "
            f"it belongs to a model of another family"
        )
    if lost:
        raise DataError(
            f"{lora.place} has layers that this model ({has}) has not: {named(lost)}; it belongs "
            f"to a model of another family, or to one with these parts"
        )
    for change in changes:
        _require_shape(lora, change, weights)
    return changes


def _weights(net: nn.Module) -> dict[str, Tensor]:
    """The weights of layers that a LoRA can change, by name."""
    return {k: v for k, v in net.named_parameters() if k.endswith(".weight") and v.shape[1:]}


def _index(weights: Mapping[str, Tensor]) -> dict[str, str]:
    return {_plain(name.removesuffix(".weight")): name for name in weights}


def _plain(stem: str) -> str:
    return re.sub(r"^(model_)?text_model_", "", stem.replace(".", "_"))


def _targets(stem: str, index: Mapping[str, Mapping[str, str]], aliases: Aliases) -> list[Target]:
    for prefix, components in PREFIXES:
        if not stem.startswith(prefix):
            continue
        rest = stem[len(prefix) :]
        for component in components:
            found = index.get(component, {})
            wanted = _plain(_today(rest, component in TEXT))
            if wanted in found:
                return [Target(component, found[wanted])]
            if component not in TEXT and found and wanted in aliases:
                return list(aliases[wanted])
    return []


def _today(stem: str, text: bool) -> str:
    """The name of a layer that an attention processor's LoRA changes."""
    if not stem.endswith("_lora"):
        return stem
    head, _, last = stem.rpartition(".")
    if text:
        return f"{head}.{OLD_TEXT.get(last, last)}"
    last = "to_out.0" if last == "to_out_lora" else last.removesuffix("_lora")
    return f"{head.removesuffix('.processor')}.{last}"


def _numbered(lora: Lora, component: str, components: Mapping[str, nn.Module]) -> list[str]:
    """The weights that cloneofsimo's numbers count, in the order of that day's modules.

    Blocks down, then up, then the middle; in each transformer block attention to itself, the
    feed-forward layer, attention to the prompt; in CLIP keys, values, queries, output.
    """
    net, classes = components.get(component), set(lora.classes[component])
    known = {"CrossAttention", "Attention", "GEGLU"} if component == "unet" else {"CLIPAttention"}
    if not classes <= known:
        raise DataError(
            f"{lora.place} counts layers of {', '.join(map(shown, sorted(classes - known)))} in "
            f"the {component}; known are {', '.join(sorted(known))}"
        )
    if net is None:
        return []
    names = [name for name, _ in net.named_modules()]
    if component != "unet":
        heads = [n for n in names if n.endswith(".self_attn")]
        rows = [[f"{h}.{x}_proj" for h in heads for x in ("k", "v", "q", "out")]]
    else:
        parts = ("down_blocks.", "up_blocks.", "mid_block.")
        blocks = [n for n in names if re.search(r"\.transformer_blocks\.\d+$", n)]
        blocks = [n for part in parts for n in blocks if n.startswith(part)]
        inside = []
        attends = ("to_q", "to_k", "to_v", "to_out.0") if classes - {"GEGLU"} else ()
        inside += [f"attn1.{x}" for x in attends]
        inside += ["ff.net.0.proj"] if "GEGLU" in classes else []
        inside += [f"attn2.{x}" for x in attends]
        rows = [[f"{block}.{x}" for x in inside] for block in blocks]
    order = [f"{name}.weight" for row in rows for name in row]
    count = sum(stem.startswith(f"{component}:") for stem in lora.layers)
    if count != len(order):
        raise DataError(
            f"{lora.place} counts {count} layers in the {component}, and this model has "
            f"{len(order)}; it belongs to a model of another family"
        )
    return order


def _require_shape(lora: Lora, change: Change, weights: Mapping[str, Mapping[str, Any]]) -> None:
    target, (rows, *rest) = change.target, change.layer.shape
    here = tuple(weights[target.component][target.weights].shape)
    there = (rows // target.of * len(target.take), *rest)
    same = there == here or _squeezed(there) == _squeezed(here)
    if rows % target.of or not same:
        name = f"{target.component}.{target.weights}"
        hint = ""
        if "attn2" in name or name.endswith(("to_k.weight", "to_v.weight")):
            family = FAMILIES.get(rest[0])
            hint = f" ({family}, it seems)" if family else ""
        raise DataError(
            f"{lora.place} belongs to a model of another family{hint}: its change of {name} has "
            f"the shape {there}, and the weights here are {here}"
        )


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A linear layer's shape, also of a convolution of one pixel."""
    return shape[:2] if shape[2:] == (1, 1) else shape
