"""LoRA files: changes of low rank to a model's layers, as any of their makers names them.

A file holds, for a layer of weights W, factors `down` (r, in), `up` (out, r) and perhaps `alpha`:
it means `W + weight * alpha / r * up @ down`. Between the factors of a convolution may stand a
third, `mid`, that holds its kernel.

References:
    Hu et al. 2021, "LoRA", arXiv:2106.09685, eq. 3; Yeh et al. 2023, "LyCORIS", arXiv:2309.14859,
    section 3.1.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demist.errors import DataError, UsageError
from demist.io.files import read_json
from demist.io.tensors import read_metadata, read_tensors
from demist.io.untrusted import inside

ENDINGS = {
    ".lora_down.weight": "down", ".lora_up.weight": "up", ".lora_mid.weight": "mid",
    ".lora_A.weight": "down", ".lora_B.weight": "up",
    ".lora_A.default.weight": "down", ".lora_B.default.weight": "up",
    ".lora.down.weight": "down", ".lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down", ".lora_linear_layer.up.weight": "up",
    "_lora.down.weight": "down", "_lora.up.weight": "up", "_lora.alpha": "alpha",
    ".alpha": "alpha", ":down": "down", ":up": "up",
}  # fmt: skip
"""How the name of a tensor ends -> which factor it is: kohya, peft, diffusers of several years,
cloneofsimo."""

METADATA = "lora_adapter_metadata"
"""Key under which diffusers keeps ranks and alphas."""


@dataclass(frozen=True, eq=False)
class LowRank:
    """The change of one layer.

    Attributes:
        down: `(r, in)` or `(r, in, h, w)`.
        up: `(out, r)` or `(out, r, 1, 1)`.
        mid: `(r, r, h, w)`; None: there is none.
        alpha: None: r.
    """

    down: Tensor
    up: Tensor
    mid: Tensor | None = None
    alpha: float | None = None

    @property
    def rank(self) -> int:
        """The number r."""
        return len(self.down)

    @property
    def scale(self) -> float:
        """What the product of the factors is multiplied by."""
        return 1.0 if self.alpha is None else self.alpha / self.rank

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weights that it changes; `(out, in, 1, 1)` may stand for `(out, in)`."""
        kernel = self.down.shape[2:] if self.mid is None else self.mid.shape[2:]
        return (len(self.up), self.down.shape[1], *kernel)

    def delta(self, device: torch.device | str = "cpu") -> Tensor:
        """What is added to the weights, `(out, in, ...)` in float32."""
        down, up = (x.to(device, torch.float32) for x in (self.down, self.up))
        if self.mid is None:
            product = (up.flatten(1) @ down.flatten(1)).reshape(self.shape)
        else:
            mid = self.mid.to(device, torch.float32)
            product = torch.einsum("or,rshw,si->oihw", up.flatten(1), mid, down.flatten(1))
        return self.scale * product


@dataclass(frozen=True, eq=False)
class Lora:
    """A file of changes.

    Attributes:
        place: The file, for messages.
        layers: The layer's name in the file -> its change.
        words: Words that it teaches, with their embeddings `(k, d)`.
        classes: Component -> the classes of layers whose numbers stand in the place of names.
    """

    place: str
    layers: Mapping[str, LowRank]
    words: Mapping[str, Tensor] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_lora(path: Path) -> Lora:
    """A LoRA in a file, or in a folder of peft or diffusers.

    Raises:
        MissingError: There is none.
        RefusedError: It is a pickle.
        DataError: It is damaged, or holds what is no LoRA; the first five names are told.
    """
    path, alphas = _file(path)
    tensors, metadata = read_tensors(path), read_metadata(path)
    words = {k: t.reshape(-1, t.shape[-1]) for k, t in tensors.items() if _is_word(k, metadata)}
    parts: dict[str, dict[str, Tensor]] = {}
    strange = []
    for name, tensor in tensors.items():
        end = next((end for end in ENDINGS if name.endswith(end)), None)
        if end is not None:
            stem = name.removesuffix(end) + ("_lora" if end[0] == "_" else "")
            parts.setdefault(stem, {})[ENDINGS[end]] = tensor
        elif name not in words:
            strange.append(name)
    if strange:
        raise DataError(
            f"{path} has {named(strange)}, which this version does not know in a LoRA; it knows "
            f"pairs of up and down (LoRA and LoCon), and neither LoHa, LoKr nor DoRA"
        )
    if not parts:
        raise DataError(f"{path} is no LoRA: it has no pair of up and down; name another file")
    known = alphas or partial(_alpha_of_diffusers, _told(metadata, path))
    layers = {stem: _layer(stem, found, known, path) for stem, found in parts.items()}
    return Lora(str(path), layers, words, _classes(metadata, path))


def named(names: list[str]) -> str:
    """How many tensors or layers, and the first five."""
    more = ", ..." if len(names) > 5 else ""
    return f"{len(names)} ({', '.join(map(shown, sorted(names)[:5]))}{more})"


def shown(name: str) -> str:
    """A name from a file as a message can hold it."""
    name = name if len(name) <= 120 else f"{name[:117]}..."
    return name if name.isprintable() else repr(name)


def _file(path: Path) -> tuple[Path, Any]:
    """The file of weights, and what says the alphas of a folder of peft."""
    if not path.is_dir():
        return path, None
    for name in ("pytorch_lora_weights.safetensors", "adapter_model.safetensors"):
        if (path / name).is_file():
            if not (path / "adapter_config.json").is_file():
                return inside(path, name), None
            config = read_json(inside(path, "adapter_config.json"))
            return inside(path, name), partial(_alpha_of_peft, config, str(path))
    raise DataError(
        f"{path} is a folder with neither pytorch_lora_weights.safetensors nor "
        f"adapter_model.safetensors; name the file"
    )


def _is_word(name: str, metadata: Mapping[str, str]) -> bool:
    return metadata.get(name) == "<embed>"


def _classes(metadata: Mapping[str, str], path: Path) -> dict[str, tuple[str, ...]]:
    """What cloneofsimo's numbers count, by component."""
    found = {}
    for component in ("unet", "text_encoder"):
        if component in metadata:
            try:
                listed = json.loads(metadata[component])
            except ValueError:
                listed = None
            if not isinstance(listed, list) or not all(isinstance(x, str) for x in listed):
                raise DataError(f"{path} does not say which layers of the {component} it counts")
            found[component] = tuple(listed)
    return found


def _layer(stem: str, found: dict[str, Tensor], alpha_of: Any, path: Path) -> LowRank:
    lacking = [role for role in ("down", "up") if role not in found]
    if lacking:
        raise DataError(
            f"{path} has no {lacking[0]} for the layer {shown(stem)}; the file is damaged"
        )
    down, up, mid = found["down"], found["up"], found.get("mid")
    fits = (
        all(x.shape[1:] and len(x.shape[2:]) in (0, 2) for x in (down, up))
        and up.shape[1] == len(down) > 0
        and math.prod(up.shape[2:]) == 1
    )
    if mid is not None:
        square = mid.shape[:2] == (len(down), len(down)) and len(mid.shape[2:]) == 2
        fits = fits and square and math.prod(down.shape[2:]) == 1
    if not fits:
        shapes = " and ".join(str(tuple(x.shape)) for x in found.values() if x.shape)
        raise DataError(f"{path}: the factors of {shown(stem)} do not fit together: {shapes}")
    given = found.get("alpha")
    if given is not None and given.numel() != 1:
        raise DataError(f"{path}: the alpha of {shown(stem)} is not one number")
    alpha = alpha_of(stem, len(down)) if given is None else float(given)
    if not all(bool(x.isfinite().all()) for x in found.values()) or not math.isfinite(alpha or 0):
        raise DataError(f"{path}: the layer {shown(stem)} has NaN or infinity; the file is damaged")
    return LowRank(down, up, mid, alpha)


def _told(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Ranks and alphas as diffusers writes them, `{"unet.lora_alpha": 8, ...}`."""
    try:
        told = json.loads(metadata.get(METADATA, "{}"))
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise DataError(f"{path} has a {METADATA} that is no JSON object; the file is damaged")
    return told


def _alpha_of_diffusers(told: Mapping[str, Any], stem: str, rank: int) -> float | None:
    for component in ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3"):
        if stem.startswith(f"{component}.") and f"{component}.lora_alpha" in told:
            start = len(component) + 1
            config = {k[start:]: v for k, v in told.items() if k.startswith(f"{component}.")}
            return _alpha_of_peft(config, METADATA, stem[start:], rank)
    return None


def _alpha_of_peft(config: Mapping[str, Any], where: str, stem: str, rank: int) -> float | None:
    """Alpha of a layer from a configuration of peft, for the scale alpha / rank."""
    if config.get("use_dora") or config.get("fan_in_fan_out"):
        raise UsageError(f"{where} asks for DoRA or fan_in_fan_out, which this version cannot read")
    if "lora_alpha" not in config:
        return None
    alpha, pattern = config["lora_alpha"], config.get("alpha_pattern") or {}
    layer = stem.removeprefix("base_model.model.")
    if isinstance(pattern, dict):
        plain = {str(k).removeprefix("^").replace("\\.", "."): v for k, v in pattern.items()}
        ends = (key for key in plain if layer.endswith(f".{key}"))
        alpha = plain.get(layer if layer in plain else next(ends, ""), alpha)
    if not isinstance(alpha, int | float) or isinstance(alpha, bool):
        raise DataError(f"{where} has lora_alpha = {alpha!r}, which must be a number")
    return float(alpha) * (math.sqrt(rank) if config.get("use_rslora") else 1.0)
