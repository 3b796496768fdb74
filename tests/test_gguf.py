"""GGUF: every type of block against the layout number by number and against its own library."""

import random
import struct

import numpy as np
import pytest
import torch

from demist.errors import DataError, DemistError, MissingError, RefusedError
from demist.io.gguf import KINDS
from demist.io.sizes import BLOCKS, block_of
from demist.io.weights import open_tensors

NUMBERS = {name: number for number, name in KINDS.items()}


def text(word):
    return struct.pack("<Q", len(word)) + word.encode()


def pair(name, kind, value):
    return text(name) + struct.pack("<I", kind) + value


def whole_list(*values):
    return struct.pack("<IQ", 5, len(values)) + struct.pack(f"<{len(values)}i", *values)


def write(path, tensors, pairs=(), version=3, align=32):
    """Tensors: name -> (type, sides innermost first, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs)) + b"".join(pairs)
    data = b""
    for name, (kind, sides, raw) in tensors.items():
        data += bytes(-len(data) % align)
        head += text(name) + struct.pack(f"<I{len(sides)}Q", len(sides), *sides)
        head += struct.pack("<IQ", NUMBERS.get(kind, kind), len(data))
        data += raw
    path.write_bytes(head + bytes(-len(head) % align) + data)
    return path


def blocks(kind, count, seed=0):
    """Random blocks whose scales are of ordinary size."""
    raw = np.random.default_rng(seed).integers(0, 256, (count, BLOCKS[kind][1]), dtype=np.uint8)
    scales = {"Q6_K": (208,), "Q4_K": (0, 2), "Q5_K": (0, 2)}.get(kind, (0,))
    for i, at in enumerate(scales):
        values = np.linspace(-0.02, 0.03 + i, count).astype(np.float16)
        raw[:, at : at + 2] = values.view(np.uint8).reshape(count, 2)
    return raw


def half(raw):
    return float(np.frombuffer(bytes(raw), np.float16)[0])


def signed(byte):
    return int(byte) - 256 * (byte > 127)


def six_bits(q, j):
    if j < 4:
        return q[j] & 63, q[j + 4] & 63
    return (q[j + 4] & 15) | (q[j - 4] >> 6 << 4), (q[j + 4] >> 4) | (q[j] >> 6 << 4)


def number(kind, block, i):
    """The i-th number of a block, as the layout says."""
    block = [int(byte) for byte in block]
    if kind == "Q8_0":
        return half(block[:2]) * signed(block[2 + i])
    if kind == "Q4_0":
        return half(block[:2]) * ((block[2 + i % 16] >> 4 * (i // 16) & 15) - 8)
    if kind == "Q6_K":
        side, group, place = i // 128, i // 32 % 4, i % 32
        low = block[64 * side + 32 * (group % 2) + place] >> 4 * (group // 2) & 15
        high = block[128 + 32 * side + place] >> 2 * group & 3
        return half(block[208:]) * signed(block[192 + i // 16]) * ((low | high << 4) - 32)
    scale, offset = six_bits(block[4:16], i // 32)
    quants = block[16:] if kind == "Q4_K" else block[48:]
    q = quants[32 * (i // 64) + i % 32] >> 4 * (i // 32 % 2) & 15
    if kind == "Q5_K":
        q += 16 * (block[16 + i % 32] >> i // 32 & 1)
    return half(block[:2]) * scale * q - half(block[2:4]) * offset


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_number_by_number(tmp_path, kind):
    raw, width = blocks(kind, 6), BLOCKS[kind][0]
    path = write(tmp_path / "x.gguf", {"a.weight": (kind, (2 * width, 3), raw.tobytes())})
    file = open_tensors(path)
    assert file.shapes == {"a.weight": (3, 2 * width)}
    assert file.kinds == {"a.weight": kind}
    expected = torch.tensor([[number(kind, b, i) for i in range(width)] for b in raw])
    found = file.read("a.weight")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected.reshape(3, -1).float(), rtol=1e-6, atol=1e-6)
    assert torch.equal(file.read("a.weight", torch.bfloat16), found.bfloat16())


@pytest.mark.parametrize("kind", [*BLOCKS, "F32", "F16", "BF16"])
def test_the_library_reads_the_same(tmp_path, kind):
    gguf = pytest.importorskip("gguf")
    if kind in BLOCKS:
        width, raw = BLOCKS[kind][0], blocks(kind, 1100, seed=1)
    else:
        width, size = 7, block_of(kind)[1]
        values = torch.randn(1100, width).to(
            {"F32": torch.float32, "F16": torch.float16}.get(kind, torch.bfloat16)
        )
        raw = values.view(torch.uint8).reshape(1100, width * size).numpy()
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "sdxl")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.add_uint32("some.number", 7)
    writer.add_tensor("one", np.ones(5, np.float32))
    writer.add_tensor("a", raw, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = open_tensors(tmp_path / "x.gguf")
    assert file.metadata["general.architecture"] == "sdxl"
    theirs = gguf.dequantize(raw, gguf.GGMLQuantizationType[kind])
    found = file.read("a", torch.float32)
    assert found.shape == (1100, width)
    torch.testing.assert_close(found, torch.from_numpy(theirs), rtol=1e-6, atol=1e-7)
    assert torch.equal(file.read("one"), torch.ones(5))


def test_pieces_join(tmp_path, monkeypatch):
    """A tensor longer than a piece, whose last piece is shorter."""
    raw = blocks("Q4_K", 50)
    path = write(tmp_path / "x.gguf", {"a": ("Q4_K", (256, 50), raw.tobytes())})
    whole = open_tensors(path).read("a")
    monkeypatch.setattr("demist.io.weights.PIECE", 1000)
    assert torch.equal(open_tensors(path).read("a"), whole)


def test_folded_shapes_and_wider_alignment(tmp_path):
    raw = np.arange(36, dtype=np.float32)
    pairs = [
        pair("comfy.gguf.orig_shape.a", 9, whole_list(2, 2, 3, 3)),
        pair("general.alignment", 4, struct.pack("<I", 128)),
        pair("general.architecture", 8, text("sd1")),
        pair("nothing", 9, struct.pack("<IQ", 8, 0)),
    ]
    tensors = {"b": ("F16", (1,), b"\0\x3c"), "a": ("F32", (36,), raw.tobytes())}
    file = open_tensors(write(tmp_path / "x.gguf", tensors, pairs, version=2, align=128))
    assert file.metadata == {"general.architecture": "sd1"}
    assert torch.equal(file.read("a"), torch.arange(36.0).reshape(2, 2, 3, 3))
    assert file.read("b").item() == 1
    assert file.read("b").dtype == torch.float16


GOOD = ("F32", (4,), bytes(16))
ORIG = "comfy.gguf.orig_shape.a"
BROKEN = {
    "another version": ({"a": GOOD}, (), {"version": 1}, "of version 1, and 2 and 3 are read"),
    "unknown type": ({"a": (10, (256,), bytes(84))}, (), {}, "of the type Q2_K, which is not read"),
    "a type that nobody has": ({"a": (99, (4,), bytes(16))}, (), {}, "of the type 99"),
    "nine axes": ({"a": ("F32", (1,) * 9, bytes(4))}, (), {}, "has 9 axes"),
    "absurd sides": ({"a": ("F32", (2**40, 2**40), b"")}, (), {}, "absurd sides"),
    "no whole blocks": ({"a": ("Q4_0", (33,), bytes(18))}, (), {}, "no whole blocks of 32"),
    "cut": ({"a": ("F32", (5,), bytes(16))}, (), {}, "ends within 'a'"),
    "another shape": (
        {"a": GOOD}, [pair(ORIG, 9, whole_list(3, 3))], {}, r"cannot have the shape \[3, 3\]",
    ),
    "a shape that is a text": ({"a": GOOD}, [pair(ORIG, 8, text("4"))], {}, "the shape '4'"),
    "a pair twice": ({"a": GOOD}, [pair("k", 7, b"\1")] * 2, {}, "comes twice"),
    "an unknown value": ({"a": GOOD}, [pair("k", 77, b"\1")], {}, "type 77"),
    "lists in lists": (
        {"a": GOOD}, [pair("k", 9, struct.pack("<IQ", 9, 1) + whole_list(1))], {}, "type 9",
    ),
    "an alignment of 3": (
        {"a": GOOD}, [pair("general.alignment", 4, struct.pack("<I", 3))], {}, "no power of 2",
    ),
    "2^60 values": (
        {"a": GOOD}, [pair("k", 9, struct.pack("<IQ", 0, 2**60))], {}, "cannot hold",
    ),
    "not a number": ({"a": ("F32", (1,), b"\0\0\xc0\x7f")}, (), {}, "'a' holds NaN"),
}  # fmt: skip


@pytest.mark.parametrize(("tensors", "pairs", "how", "words"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_said(tmp_path, tensors, pairs, how, words):
    path = write(tmp_path / "x.gguf", tensors, pairs, **how)
    with pytest.raises(DataError, match=words) as caught:
        open_tensors(path).read("a")
    assert str(path) in str(caught.value)


def test_what_is_no_file_of_weights(tmp_path):
    with pytest.raises(MissingError):
        open_tensors(tmp_path / "absent.gguf")
    (tmp_path / "x.gguf").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(RefusedError):
        open_tensors(tmp_path / "x.gguf")
    (tmp_path / "y.gguf").write_bytes(b"GG")
    with pytest.raises(DataError):
        open_tensors(tmp_path / "y.gguf")


def test_mutants_are_one_sentence_or_sound(tmp_path):
    """Bits turned, numbers replaced, ends cut: an error of ours or tensors of the right size."""
    pairs = [pair("general.architecture", 8, text("sd1")), pair(ORIG, 9, whole_list(4, 64, 1))]
    raw = {kind: blocks(kind, 1).tobytes() for kind in BLOCKS}
    tensors = {"a": ("Q4_K", (256,), raw["Q4_K"]), "b": ("Q8_0", (32,), raw["Q8_0"]), "c": GOOD}
    whole = write(tmp_path / "x.gguf", tensors, pairs).read_bytes()
    draw, path, said = random.Random(0), tmp_path / "mutant.gguf", []
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(data))
            if draw.random() < 0.2:
                del data[at:]
            elif draw.random() < 0.5:
                data[at] ^= 1 << draw.randrange(8)
            else:
                data[at : at + 8] = draw.choice([bytes(8), b"\xff" * 8, struct.pack("<Q", 2**40)])
            if not data:
                break
        path.write_bytes(data)
        try:
            file = open_tensors(path)
            for name, shape in file.shapes.items():
                assert file.read(name, torch.float32).shape == shape
        except DemistError as error:
            said.append(str(error))
    assert 200 < len(said) < 600
    assert all(str(path) in words and "\n" not in words for words in said)
