"""Single files in eight bits and in GGUF: read like the wide ones, every tensor used or named."""

import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from demist.errors import DataError
from demist.interop.single import open_file, write_single
from demist.io.headers import header_of

from .test_single_files import model

pytestmark = pytest.mark.filterwarnings("ignore:.* is a Stable")
E4 = torch.float8_e4m3fn
NETWORK = "model.diffusion_model."


def text(word):
    return struct.pack("<Q", len(word.encode())) + word.encode()


def written(folder, name):
    source, networks, texts = model(name, folder)
    place = folder / "whole.safetensors"
    write_single(place, "single", source, networks, texts, print)
    return place, networks["unet"].state_dict()


def in_eight_bits(place, ending, marked=True):
    """The file with the linear layers of its network in eight bits; these layers' names."""
    tensors, small = load_file(place), []
    for name in list(tensors):
        if name.startswith(NETWORK) and name.endswith(".weight") and tensors[name].ndim == 2:
            layer = name.removesuffix(".weight")
            scale = tensors[name].abs().max() / 448
            tensors[name] = (tensors[name] / scale).to(E4)
            tensors[layer + ending] = scale.reshape(() if ending == ".weight_scale" else (1,))
            small.append(layer)
    if marked:
        tensors[NETWORK + "scaled_fp8"] = torch.empty(2, dtype=E4)
    save_file(tensors, place, dict(header_of(place).metadata))
    return small, tensors


@pytest.mark.parametrize("ending", [".scale_weight", ".weight_scale"])
def test_scaled_eight_bits(tmp_path, ending):
    place, wide = written(tmp_path, "xl")
    small, tensors = in_eight_bits(place, ending, marked=ending == ".scale_weight")
    assert len(small) > 20
    with pytest.warns(UserWarning, match="weights in F8_E4M3 are read as fp32"):
        found = open_file(place).network("unet").state_dict()
    assert found.keys() == wide.keys()
    errors = {k: ((found[k] - v).abs().max() / v.abs().max()).item() for k, v in wide.items()}
    assert max(errors.values()) < 0.04  # half of the last of three bits
    assert sum(error > 0 for error in errors.values()) >= len(small)
    del tensors[small[3] + ending]
    tensors[NETWORK + "scaled_fp8"] = torch.empty(2, dtype=E4)
    save_file(tensors, place)
    with pytest.raises(DataError, match=f"'{small[3]}.weight' is in eight bits and its scale"):
        open_file(place)


def test_gguf(tmp_path):
    """The network as ComfyUI's GGUF files have it, folded to whole blocks; the rest beside it."""
    place, wide = written(tmp_path, "sd1")
    whole, metadata = load_file(place), header_of(place).metadata
    own = {k.removeprefix(NETWORK): v for k, v in whole.items() if k.startswith(NETWORK)}
    pairs = [text(key) + struct.pack("<I", 8) + text(value) for key, value in metadata.items()]
    table, data = b"", b""
    for name, value in own.items():
        raw, sides, kind = value.half(), list(value.shape[::-1]), 1
        if value.numel() % 256 == 0:
            blocks = value.reshape(-1, 32)
            scale = (blocks.abs().amax(1, keepdim=True) / 127).half()
            raw = (blocks / scale.float()).round().to(torch.int8)
            raw = torch.cat([scale.view(torch.uint8), raw.view(torch.uint8)], dim=1)
            sides, kind = [256, value.numel() // 256], 8
            shape = struct.pack(f"<IIQ{value.ndim}i", 9, 5, value.ndim, *value.shape)
            pairs.append(text(f"comfy.gguf.orig_shape.{name}") + shape)
        data += bytes(-len(data) % 32)
        table += text(name) + struct.pack(f"<I{len(sides)}Q", len(sides), *sides)
        table += struct.pack("<IQ", kind, len(data))
        data += raw.numpy().tobytes()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(own), len(pairs)) + b"".join(pairs) + table
    small = tmp_path / "sd1-Q8_0.gguf"
    small.write_bytes(head + bytes(-len(head) % 32) + data)
    source = open_file(small, [f"vae={place}", f"text={place}"])
    with pytest.warns(UserWarning, match="weights in Q8_0 are read as fp32"):
        found = source.network("unet").state_dict()
    assert found.keys() == wide.keys()
    for key, value in wide.items():
        assert (found[key] - value).abs().max() <= 0.006 * value.abs().max()
    assert json.dumps(source.config("unet"))
    assert source.network("vae").kind == "AutoencoderKL"
