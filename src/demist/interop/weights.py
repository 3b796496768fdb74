"""The weights of one component of a folder: one file or shards, any variant, old names mended."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from demist.errors import DataError, MissingError
from demist.io.files import read_json
from demist.io.tensors import read_tensors
from demist.io.untrusted import inside
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


def read_weights(folder: Path, place: str) -> dict[str, Tensor]:
    """All tensors of one component.

    Args:
        folder: The model.
        place: Path below it, with a slash at its end.

    Raises:
        MissingError: There is no safetensors file.
    """
    here = folder / place
    for index in sorted(here.glob("*.safetensors.index.json")):
        table = read_json(inside(folder, f"{place}{index.name}")).get("weight_map")
        if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
            raise DataError(f"{index} has no weight_map from names of tensors to files")
        files = sorted(set(table.values()))
        return {k: v for f in files for k, v in read_tensors(inside(folder, place + f)).items()}
    found = sorted(here.glob("*.safetensors"))
    plain = [path for path in found if path.stem in STEMS]
    if not found:
        pickles = sorted(p.name for p in here.glob("*.bin")) + sorted(
            p.name for p in here.glob("*.ckpt")
        )
        more = f"; {pickles[0]} is a pickle, which is never read" if pickles else ""
        raise MissingError(f"there is no file of weights .safetensors in {here}{more}")
    path = (plain or found)[0]  # of several variants the plain one; the only one, whatever its name
    return read_tensors(inside(folder, place + path.name))


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
