"""Tensors straight into their type: pieces, eight-bit floats, and what is refused."""

import random

import pytest
import torch

from demist.errors import DataError, DemistError
from demist.io.tensors import read_tensors, write_tensors
from demist.io.weights import open_tensors, read_all

TYPES = (torch.float32, torch.float16, torch.bfloat16)
E4, E5 = torch.float8_e4m3fn, torch.float8_e5m2


def letters(text):
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def stored(tmp_path, **tensors):
    named = {name.replace("__", "."): value for name, value in tensors.items()}
    write_tensors(tmp_path / "x.safetensors", named)
    return open_tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("given", [*TYPES, torch.float64])
@pytest.mark.parametrize("wanted", [*TYPES, None])
def test_every_type_to_every_other_is_one_rounding(tmp_path, given, wanted, monkeypatch):
    monkeypatch.setattr("demist.io.weights.PIECE", 64)
    x = (torch.randn(5, 7, 9) * torch.logspace(-6, 4, 9)).to(given)
    file = stored(tmp_path, a=x, n=torch.arange(3), none=torch.empty(0, 2, dtype=given))
    found = file.read("a", wanted)
    assert found.dtype == (wanted or given)
    assert torch.equal(found, x.to(wanted or given))
    assert torch.equal(file.read("n", wanted), torch.arange(3))
    assert file.read("none", wanted).shape == (0, 2)


@pytest.mark.parametrize("given", [E4, E5])
@pytest.mark.parametrize("wanted", TYPES)
def test_all_eight_bit_floats(tmp_path, given, wanted):
    values = torch.arange(256, dtype=torch.uint8).view(given)
    sound = values.float().isfinite()
    file = stored(tmp_path, a=values.view(torch.uint8)[sound].view(given))
    assert file.kinds == {"a": "F8_E4M3" if given == E4 else "F8_E5M2"}
    assert torch.equal(file.read("a", wanted), values.float()[sound].to(wanted))
    assert file.read("a").dtype == given
    assert read_tensors(tmp_path / "x.safetensors")["a"].dtype == given
    file = stored(tmp_path, a=values)
    with pytest.raises(DataError, match="'a' holds NaN"):
        file.read("a", wanted)


@pytest.mark.parametrize("ending", ["scale_weight", "weight_scale"])
@pytest.mark.parametrize("shape", [(), (1,), (6,), (6, 1)])
def test_scales_belong_to_their_weights(tmp_path, ending, shape):
    weight, scale = torch.randn(6, 4).to(E4), torch.rand(shape) + 0.3
    further = {
        "scaled_fp8": torch.empty(0, dtype=E4), "l.input_scale": torch.ones(()),
        "l.comfy_quant": letters('{"format": "float8_e4m3fn"}'),
    }  # fmt: skip
    bias = torch.randn(6).half()
    file = stored(tmp_path, **{"l.weight": weight, f"l.{ending}": scale, "l.bias": bias, **further})
    assert file.shapes == {"l.weight": (6, 4), "l.bias": (6,)}
    expected = weight.float() * scale.reshape(-1, 1)
    for wanted in TYPES:
        assert torch.equal(file.read("l.weight", wanted), expected.to(wanted))
    assert torch.equal(file.read("l.weight"), expected)


def test_a_scale_of_what_is_not_in_eight_bits(tmp_path):
    weight = torch.randn(6, 4).half()
    file = stored(tmp_path, **{"l.weight": weight, "l.scale_weight": torch.tensor([3.0])})
    assert torch.equal(file.read("l.weight", torch.bfloat16), (weight.float() * 3).bfloat16())


WEIGHT = torch.ones(4, 4).to(E4)
BROKEN = {
    "no scale": (
        {"m.scaled_fp8": torch.empty(0, dtype=E4), "m.a.weight": WEIGHT},
        "'m.a.weight' is in eight bits and its scale is missing",
    ),
    "a scale that fits nothing": (
        {"a.weight": WEIGHT, "a.weight_scale": torch.ones(2, 2)}, "has a scale of shape",
    ),
    "whole numbers": (
        {"a.weight": torch.ones(4, 4).to(torch.int8), "a.weight_scale": torch.ones(4)},
        "kept as scaled I8, which is not read",
    ),
    "another way": (
        {"a.weight": WEIGHT, "a.comfy_quant": letters('{"format": "nvfp4"}')},
        "'a' is kept as 'nvfp4'",
    ),
    "a description that is none": (
        {"a.weight": WEIGHT, "a.comfy_quant": torch.zeros(4, dtype=torch.uint8)}, "x.safetensors",
    ),
    "NaN in a scale": (
        {"a.weight": WEIGHT, "a.weight_scale": torch.tensor(torch.nan)}, "'a.weight' holds NaN",
    ),
    "NaN": ({"a.weight": torch.tensor([[1.0, torch.nan]])}, "'a.weight' holds NaN"),
    "infinity": ({"a.weight": torch.tensor([-torch.inf, 0])}, "'a.weight' holds infinity"),
    "too large": (
        {"a.weight": torch.tensor([7e4, 0])}, "'a.weight' holds numbers above 65504.*use bf16",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("tensors", "words"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_said(tmp_path, tensors, words):
    with pytest.raises(DataError, match=words) as caught:
        stored(tmp_path, **tensors).read("a.weight", torch.float16)
    assert "\n" not in str(caught.value)


def test_a_file_cut_after_it_was_opened(tmp_path):
    file = stored(tmp_path, a=torch.ones(1000))
    path = tmp_path / "x.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    for wanted in (None, torch.bfloat16):
        with pytest.raises(DataError, match="ends within 'a'"):
            file.read("a", wanted)


def test_all_tensors_at_once(tmp_path, monkeypatch):
    """By several threads, in jobs of several tensors: the same, in the order of the files."""
    monkeypatch.setattr("demist.io.weights.JOB", 3000)
    tensors = {f"t{i:02d}": torch.randn(i, 7, 5).half() for i in range(40)}
    files = []
    for k in range(2):
        write_tensors(tmp_path / str(k), dict(list(tensors.items())[k::2]))
        files.append(open_tensors(tmp_path / str(k)))
    found = read_all(files, torch.bfloat16)
    assert list(found) == [name for file in files for name in file.entries]
    assert all(torch.equal(found[name], value.bfloat16()) for name, value in tensors.items())
    assert list(read_all(files, wanted=lambda name: name == "t03")) == ["t03"]
    assert read_all([]) == {}
    tensors["t20"][3, 0, 0] = torch.nan
    write_tensors(tmp_path / "0", tensors)
    with pytest.raises(DataError, match="'t20' holds NaN"):
        read_all([open_tensors(tmp_path / "0")])


def test_mutants_are_one_sentence_or_sound(tmp_path):
    """Bits turned and ends cut: an error of ours, or tensors of the shapes that are told."""
    weight = torch.randn(4, 4).to(E4)
    more = {
        "l.weight_scale": torch.tensor(0.5),
        "l.comfy_quant": letters('{"format":"float8_e4m3fn"}'),
    }
    stored(tmp_path, **{"l.weight": weight, "l.bias": torch.randn(3).bfloat16(), **more})
    whole, path, said = (tmp_path / "x.safetensors").read_bytes(), tmp_path / "mutant", []
    draw = random.Random(0)
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data[: draw.randrange(len(data)) if draw.random() < 0.1 else None])
        try:
            file = open_tensors(path)
            for name, value in read_all([file], torch.float16).items():
                assert value.shape == file.shapes[name]
        except DemistError as error:
            said.append(str(error))
    assert 100 < len(said) < 400
    assert all(str(path) in words and "\n" not in words for words in said)
