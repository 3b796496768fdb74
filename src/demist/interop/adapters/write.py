"""A LoRA as files of diffusers, peft and kohya, whose readers give the same change."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from demist.errors import CannotCreateError, UsageError
from demist.interop.adapters.lora import METADATA, LowRank
from demist.io.files import atomic, write_json
from demist.io.folders import atomic_folder
from demist.io.tensors import write_tensors

Form = Literal["diffusers", "peft", "kohya"]
KOHYA = {
    "unet": "lora_unet", "transformer": "lora_unet",
    "text_encoder": "lora_te1", "text_encoder_2": "lora_te2", "text_encoder_3": "lora_te3",
}  # fmt: skip
"""Component -> how names of its layers begin; of a single text encoder, `lora_te`."""


def write_lora(
    path: Path, layers: Mapping[str, LowRank], form: Form, *, replace: bool = False
) -> None:
    """Write the changes of a model's layers.

    A convolution's third factor stands in kohya's form alone; the others multiply it into `down`.

    Args:
        path: A file, `.safetensors`; a folder for peft, which holds one component.
        layers: Component and layer, as diffusers names them -> its change, such as
            `unet.mid_block.attentions.0.proj_in`.
        form: Whose.
        replace: Whether what is there may be overwritten.

    Raises:
        CannotCreateError: The file or folder exists.
        UsageError: There is nothing to write, or peft is to hold several components.
    """
    if not layers:
        raise UsageError("a LoRA without a layer changes nothing; give one at least")
    parts: dict[str, dict[str, LowRank]] = {}
    for name, layer in layers.items():
        component, _, rest = name.partition(".")
        if component not in KOHYA or not rest:
            raise UsageError(
                f"the layer {name!r} is of no known component; known are {', '.join(KOHYA)}"
            )
        parts.setdefault(component, {})[rest] = layer
    if path.exists() and not replace:
        raise CannotCreateError(f"{path} exists; choose another name, or say that it is replaced")
    if form == "kohya":
        _write(path, _kohya(parts), {"ss_network_module": "networks.lora"})
    elif form == "diffusers":
        told = {f"{c}.{k}": v for c, found in parts.items() for k, v in _config(found).items()}
        text = json.dumps(told, sort_keys=True)
        tensors = {
            f"{c}.{k}": v for c, found in parts.items() for k, v in _pairs(found, "").items()
        }
        _write(path, tensors, {METADATA: text})
    else:
        if len(parts) > 1:
            raise UsageError(
                f"a folder of peft holds one component, and this is {', '.join(parts)}; write each"
            )
        (found,) = parts.values()
        with atomic_folder(path, replace=replace) as temporary:
            prefix = "base_model.model."
            write_tensors(temporary / "adapter_model.safetensors", _pairs(found, prefix))
            config = {"peft_type": "LORA", "bias": "none", **_config(found)}
            write_json(temporary / "adapter_config.json", config)


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    with atomic(path) as temporary:
        write_tensors(temporary, tensors, metadata)


def _kohya(parts: Mapping[str, Mapping[str, LowRank]]) -> dict[str, Tensor]:
    texts = [component for component in parts if component.startswith("text")]
    tensors = {}
    for component, found in parts.items():
        head = "lora_te" if texts == [component] == ["text_encoder"] else KOHYA[component]
        for name, layer in found.items():
            clip = name.startswith("encoder.layers.")  # younger transformers dropped the prefix
            stem = f"{head}_{'text_model_' * clip}{name.replace('.', '_')}"
            tensors[f"{stem}.lora_down.weight"] = layer.down
            tensors[f"{stem}.lora_up.weight"] = layer.up
            if layer.mid is not None:
                tensors[f"{stem}.lora_mid.weight"] = layer.mid
            alpha = layer.rank if layer.alpha is None else layer.alpha
            tensors[f"{stem}.alpha"] = torch.tensor(float(alpha))
    return tensors


def _pairs(found: Mapping[str, LowRank], prefix: str) -> dict[str, Tensor]:
    tensors = {}
    for name, layer in found.items():
        down, up = layer.down, layer.up
        if layer.mid is not None:
            down = torch.einsum("rshw,si->rihw", layer.mid.float(), down.flatten(1).float())
        tensors[f"{prefix}{name}.lora_A.weight"] = down.to(layer.down.dtype)
        tensors[f"{prefix}{name}.lora_B.weight"] = up
    return tensors


def _config(found: Mapping[str, LowRank]) -> dict[str, Any]:
    """Ranks and alphas as peft says them: the most frequent, and which layers have others."""
    ranks = {name: layer.rank for name, layer in found.items()}
    alphas = {n: float(x.rank if x.alpha is None else x.alpha) for n, x in found.items()}
    rank, alpha = (Counter(v.values()).most_common(1)[0][0] for v in (ranks, alphas))
    return {
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {name: r for name, r in ranks.items() if r != rank},
        "alpha_pattern": {name: a for name, a in alphas.items() if a != alpha},
        "target_modules": sorted(found),
    }
