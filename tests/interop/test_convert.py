"""Checkpoints of torch.save become safetensors: every type, view and wrapper; nothing is run."""

import argparse
import collections
import datetime
import os
import pathlib
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from demist.cli import main
from demist.errors import CannotCreateError, DataError, MissingError, RefusedError, UsageError
from demist.interop.convert import convert
from demist.interop.tiny import tiny, write_tiny
from demist.io.tensors import read_tensors, write_tensors
from demist.networks.published import AutoencoderTiny

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64),
    *(torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool),
]
FORMS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def assert_same(found, wanted):
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(bits(found[name]), bits(tensor.detach())), name


def save(path, value, zipped=True):
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


@FORMS
def test_all_types_views_and_shared_storages(tmp_path, zipped):
    base = torch.arange(120.0).reshape(2, 3, 4, 5)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    value = {
        **{str(d)[6:]: torch.arange(7).to(d) for d in DTYPES},
        **net.state_dict(),
        "view": base[1, 1:, ::2, 1:4],
        "turned": base.permute(3, 1, 0, 2),
        "whole": base,
        "wide": torch.arange(3.0).expand(4, 3),
        "number": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    made = convert(save(tmp_path / "m.pt", value, zipped), tmp_path / "m.safetensors")
    assert made.count == len(value)
    assert made.types["bfloat16"] == 1
    assert made.chosen.others == made.chosen.names == {}
    assert_same(read_tensors(tmp_path / "m.safetensors"), value)
    assert_same(load_file(tmp_path / "m.safetensors"), value)


def test_the_types_are_those_of_safetensors(tmp_path):
    for dtype in DTYPES:
        write_tensors(tmp_path / "t.safetensors", {"x": torch.arange(5).to(dtype)})
        assert_same(load_file(tmp_path / "t.safetensors"), {"x": torch.arange(5).to(dtype)})


class Callback:
    """Of a library that need not be there."""

    def __init__(self):
        self.score = torch.tensor(1.0)


@FORMS
def test_a_training_checkpoint_gives_its_state_dict(tmp_path, zipped):
    weights = {"model.a.weight": torch.ones(2, 3), "model_ema.aweight": torch.zeros(2, 3)}
    value = {
        "epoch": 3,
        "state_dict": collections.OrderedDict({**weights, "note": "text"}),
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2), "step": 4}}}],
        "callbacks": {Callback: {"best": np.float64(0.25)}, "one": Callback()},
        "hyper_parameters": argparse.Namespace(lr=0.1, when=datetime.date(2020, 1, 1)),
        "home": pathlib.PurePosixPath("/home"),
    }
    made = convert(save(tmp_path / "m.ckpt", value, zipped), tmp_path / "m.safetensors")
    assert_same(read_tensors(tmp_path / "m.safetensors"), weights)
    assert made.chosen.place == "state_dict"
    assert made.chosen.others == {
        "epoch": "3",
        "optimizer_states": "1 tensor",
        "callbacks": "1 tensor",
        "hyper_parameters": "argparse.Namespace",
        "home": "pathlib.PurePosixPath",
        "state_dict.note": "text",
    }
    names = made.chosen.names
    assert {"argparse.Namespace", "datetime.date", "pathlib.PurePosixPath"} <= set(names)
    assert any(name.endswith("Callback") for name in names)
    assert any("numpy" in name for name in names)
    said = "\n".join(made.sentences())
    assert "taken from 'state_dict'" in said
    assert "optimizer_states (1 tensor)" in said
    assert "argparse.Namespace (1)" in said


def test_wrappers_are_taken_off_only_where_that_is_clear(tmp_path):
    a, b = {"w": torch.ones(2)}, {"w": torch.zeros(2)}
    cases = [
        ({"model": a, "step": 3}, "model", {"w": a["w"]}),
        ({"state_dict": {"model": a}, "ema": b}, "state_dict.model", {"w": a["w"]}),
        ({"model": a, "ema": b}, "", {"model.w": a["w"], "ema.w": b["w"]}),
        ({"encoder": a}, "", {"encoder.w": a["w"]}),
        ({"model": a, "w": b["w"]}, "", {"model.w": a["w"], "w": b["w"]}),
        ([a, (b["w"],)], "", {"0.w": a["w"], "1.0": b["w"]}),
        (a["w"], "", {"tensor": a["w"]}),
    ]
    for value, place, wanted in cases:
        out = tmp_path / "m.safetensors"
        made = convert(save(tmp_path / "m.pt", value), out, replace=True)
        assert made.chosen.place == place
        assert_same(read_tensors(out), wanted)
    path = save(tmp_path / "m.pt", {"model": a, "ema.fast": {"deep": b}})
    convert(path, out, only="ema.fast.deep", replace=True)
    assert_same(read_tensors(out), b)
    with pytest.raises(UsageError, match=r"nothing at 'ema'; it holds model, ema.fast"):
        convert(path, out, only="ema", replace=True)


def test_attributes_of_parameters_and_tensors_are_no_matter(tmp_path):
    parameter, tensor = torch.nn.Parameter(torch.ones(2)), torch.ones(3)
    parameter.kind, tensor.kind = "bias", "x"
    convert(save(tmp_path / "m.pt", {"p": parameter, "t": tensor}), tmp_path / "o.safetensors")
    assert_same(read_tensors(tmp_path / "o.safetensors"), {"p": torch.ones(2), "t": torch.ones(3)})


REFUSED = {
    "module": (torch.nn.Linear(2, 2), r"all of it is a torch.nn.modules.linear.Linear"),
    "part": ({"net": torch.nn.Linear(2, 2)}, r"net is a torch.nn.modules.linear.Linear"),
    "sparse": ({"w": torch.eye(2).to_sparse()}, r"w is a torch._utils._rebuild_sparse_tensor"),
    "conj": ({"w": torch.ones(2, dtype=torch.cfloat).conj()}, r"conjugated or negated"),
    "object": ({"w": Callback()}, r"w is a .*Callback and holds tensors"),
}


@pytest.mark.filterwarnings("ignore")
@FORMS
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_tensor_that_depends_on_code_is_refused(tmp_path, name, zipped):
    value, message = REFUSED[name]
    path = save(tmp_path / "m.pt", value, zipped)
    with pytest.raises(RefusedError, match=message):
        convert(path, tmp_path / "m.safetensors")
    assert os.listdir(tmp_path) == ["m.pt"]


def test_what_is_no_checkpoint(tmp_path):
    out = tmp_path / "o.safetensors"
    files = {
        "plain": (pickle.dumps({"w": [1, 2]}), "not one of torch.save"),
        "text": (b"hello", "neither a zip archive nor a pickle"),
        "tar": (bytes(257) + b"ustar" + bytes(100), "before 0.2"),
        "none": (b"", "neither"),
    }
    for name, (data, message) in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=message):
            convert(tmp_path / name, out)
    write_tensors(tmp_path / "s.bin", {"w": torch.ones(2)})
    with pytest.raises(DataError, match="safetensors file already"):
        convert(tmp_path / "s.bin", out)
    with pytest.raises(MissingError, match="there is no file"):
        convert(tmp_path / "absent.pt", out)
    path = save(tmp_path / "no.pt", {"epoch": 3, "name": "x"})
    with pytest.raises(DataError, match="no tensors in it; it holds epoch, name"):
        convert(path, out)
    assert not out.exists()


def test_the_output_is_not_overwritten(tmp_path):
    path, out = save(tmp_path / "m.pt", {"w": torch.ones(2)}), tmp_path / "o.safetensors"
    out.write_text("mine")
    with pytest.raises(CannotCreateError, match="exists already"):
        convert(path, out)
    assert out.read_text() == "mine"
    with pytest.raises(UsageError, match="should end in"):
        convert(path, tmp_path / "o.bin")
    with pytest.raises(CannotCreateError, match="no folder"):
        convert(path, tmp_path / "away" / "o.safetensors")
    assert main(["convert", str(path), str(out)]) == 73
    assert main(["convert", str(path), str(out), "--force"]) == 0
    assert_same(read_tensors(out), {"w": torch.ones(2)})


def test_the_command_says_what_it_did(tmp_path, capsys):
    value = {"state_dict": {"w": torch.ones(2).half()}, "global_step": 7}
    path, out = save(tmp_path / "m.ckpt", value), tmp_path / "o.safetensors"
    assert main(["convert", str(path), str(out)]) == 0
    assert capsys.readouterr().out == (
        f"{out}\n1 tensor (1 float16), 0.0 MB\ntaken from 'state_dict', whose name is not in "
        f"theirs\nleft out: global_step (7)\n"
    )


def published(net, part, skipped):
    """Tensors of one half under their maker's names."""
    named = getattr(net, part).layers.state_dict().items()
    for name, tensor in named:
        number, _, rest = name.partition(".")
        yield f"{int(number) + skipped}.{rest}", tensor


@pytest.mark.parametrize("normed", [False, True])
def test_a_tiny_autoencoder_of_two_files(tmp_path, normed):
    options = {
        "latent_channels": 5,
        "encoder_block_out_channels": [8, 8],
        "decoder_block_out_channels": [8, 8],
        "num_encoder_blocks": [1, 2],
        "num_decoder_blocks": [3, 1],
        "use_midblock_gn": normed,
    }
    net = AutoencoderTiny.from_json(options, "here")
    halves = dict(published(net, "encoder", 0)), dict(published(net, "decoder", 1))
    config, tensors = tiny(*halves, "here")
    assert config == {
        "_class_name": "AutoencoderTiny",
        "in_channels": 3,
        "out_channels": 3,
        **options,
    }
    assert_same(tensors, net.state_dict())
    for name, half in zip(("e", "d"), halves, strict=True):
        save(tmp_path / f"{name}.pth", half)
        convert(tmp_path / f"{name}.pth", tmp_path / f"{name}.safetensors")
    write_tiny(tmp_path / "e.safetensors", tmp_path / "d.safetensors", tmp_path / "vae")
    assert_same(
        read_tensors(tmp_path / "vae/diffusion_pytorch_model.safetensors"), net.state_dict()
    )
    with pytest.raises(DataError, match="no decoder"):
        tiny(halves[0], {"x": torch.ones(1)}, "here")
    with pytest.raises(DataError, match=r"do not fit|no layer"):
        tiny(halves[0] | {"0.extra": torch.ones(1)}, halves[1], "here")
