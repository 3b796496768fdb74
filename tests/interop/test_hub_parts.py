"""What goes into a model may come from the hub, too: LoRA, words, an autoencoder, a control."""

import pytest
import torch

from demist import Pipeline
from demist.errors import MissingError
from demist.interop import Reading
from demist.interop.adapters import read_embedding, weighted_file, write_lora
from demist.interop.tiny import write_tiny
from demist.io import hub
from demist.io.tensors import write_tensors
from demist.model.controlled import split
from demist.networks import published
from hub_server import server

from .test_convert import published as named_by_maker
from .test_folders import folder
from .test_lora import low_rank
from .test_other_codec import TINY

__all__ = ["folder", "server"]

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.filterwarnings("ignore:hf.me/:UserWarning")


def put(server, name, place):
    files = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
    root = place.parent if place.is_file() else place
    return server.put(name, {p.relative_to(root).as_posix(): p.read_bytes() for p in files})


def test_a_lora(folder, server, tmp_path):
    before, path = Pipeline.load(folder), tmp_path / "ink.safetensors"
    write_lora(path, {"unet.conv_in": low_rank(before.denoiser.net.conv_in.weight.shape)}, "kohya")
    put(server, "me/ink", path)
    for text in ("hf:me/ink", "hf:me/ink/ink.safetensors@main"):
        wanted = Pipeline.load(folder, Reading(lora=(f"{path}:0.5",)))
        found = Pipeline.load(folder, Reading(lora=(f"{text}:0.5",)))
        same = zip(*(p.denoiser.net.state_dict().values() for p in (wanted, found)), strict=True)
        assert all(torch.equal(a, b) for a, b in same)
        assert found.facts["adapters"] == wanted.facts["adapters"]
    assert str(weighted_file("hf:me/ink")[0]) == "hf:me/ink"
    with pytest.raises(MissingError, match="there is no hf:me/none"):
        before.with_lora("hf:me/none", 1.0)


def test_an_embedding(server, tmp_path):
    write_tensors(tmp_path / "moss.safetensors", {"emb_params": torch.ones(1, 6)})
    put(server, "me/moss", tmp_path / "moss.safetensors")
    assert read_embedding("hf:me/moss=green").word == "green"


def test_an_autoencoder(server, tmp_path):
    net = published.AutoencoderTiny.from_json(TINY, "here")
    for part, skipped in (("encoder", 0), ("decoder", 1)):
        tensors = dict(named_by_maker(net, part, skipped))
        write_tensors(tmp_path / f"{part}.safetensors", tensors)
    halves = (tmp_path / f"{part}.safetensors" for part in ("encoder", "decoder"))
    write_tiny(*halves, tmp_path / "tiny")
    put(server, "me/tiny", tmp_path / "tiny")
    assert (hub.local("hf:me/tiny") / "config.json").is_file()
    assert hub.local("here/tiny").parts == ("here", "tiny")


def test_a_control_network():
    assert split("hf:me/canny=a.png:0.5") == ("hf:me/canny", "a.png:0.5")
