"""The weights of one component of a folder: one file or shards, any variant, old names mended."""

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demist.errors import DataError, MissingError
from demist.io.files import read_json
from demist.io.sizes import BLOCKS
from demist.io.untrusted import inside
from demist.io.weights import open_tensors, read_all
from demist.machine.precision import DTYPES
from demist.networks import published
from demist.networks.published import Published

NETWORKS: Mapping[str, type[Published]] = {
    value.kind: value
    for value in vars(published).values()
    if isinstance(value, type) and issubclass(value, Published) and value is not Published
}
"""Class in `config.json` -> ours."""

OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of attention among pixels in older files."""

STEMS = ("diffusion_pytorch_model", "model")


def read_weights(folder: Path, place: str, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """All tensors of one component.

    Args:
        folder: The model.
        place: Path below it, with a slash at its end.
        dtype: Of real numbers; None: as they are in the file.

    Raises:
        MissingError: There is no safetensors file.
        DataError: A file is damaged, or a tensor holds NaN.
    """
    files = [open_tensors(path) for path in files_of(folder, place)]
    tell_widened(folder, {kind for file in files for kind in file.kinds.values()}, dtype)
    return read_all(files, dtype)


def tell_widened(place: Path, kinds: Collection[str], dtype: torch.dtype | None) -> None:
    """Warn where weights take more memory than in their file.

    Args:
        place: The model; a warning about it is shown once.
        kinds: Types in the file.
        dtype: What they become.
    """
    small = sorted({kind for kind in kinds if kind in BLOCKS or kind.startswith("F8")})
    name = {value: key for key, value in DTYPES.items()}.get(dtype or torch.float64)
    if name and small:
        warnings.warn(f"{place}: weights in {', '.join(small)} are read as {name}", stacklevel=2)
    elif name == "fp32" and {"F16", "BF16"} & {*kinds}:
        half = "bf16" if "BF16" in kinds else "fp16"
        warnings.warn(
            f"{place}: weights in {half} are read as fp32, in twice the memory; --dtype {half} "
            f"keeps them",
            stacklevel=2,
        )


def files_of(folder: Path, place: str) -> list[Path]:
    """The files in which the weights of a component are; arguments and errors as above."""
    here = folder / place
    for index in sorted(here.glob("*.safetensors.index.json")):
        table = read_json(inside(folder, f"{place}{index.name}")).get("weight_map")
        if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
            raise DataError(f"{index} has no weight_map from names of tensors to files")
        files = sorted(set(table.values()))
        return [inside(folder, place + name) for name in files]
    found = sorted(here.glob("*.safetensors"))
    plain = [path for path in found if path.stem in STEMS]
    if not found:
        pickles = sorted(p.name for p in here.glob("*.bin")) + sorted(
            p.name for p in here.glob("*.ckpt")
        )
        how = "is a pickle, which is never read; `demist convert` makes safetensors of it"
        more = f"; {pickles[0]} {how}" if pickles else ""
        raise MissingError(f"there is no file of weights .safetensors in {here}{more}")
    path = (plain or found)[0]  # of several variants the plain one; the only one, whatever its name
    return [inside(folder, place + path.name)]


def mended(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under today's names."""
    out = {}
    for name, tensor in tensors.items():
        head, _, last = name.rpartition(".")
        stem, _, layer = head.rpartition(".")
        if layer in OLD_ATTENTION and "attentions" in stem:
            name = f"{stem}.{OLD_ATTENTION[layer]}.{last}"
            if tensor.shape[2:]:  # a convolution of one pixel
                tensor = tensor[:, :, 0, 0]
        out[name] = tensor
    return out


def facts(net: Published) -> dict[str, Any]:
    """What a summary says of a network."""
    return {"network": net.kind, "parameters": sum(p.numel() for p in net.parameters())}
