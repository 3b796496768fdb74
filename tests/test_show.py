"""`demist show`: what files and folders are, told from headers, without torch."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from demist.cli import main
from demist.drawing import save_image
from demist.errors import DataError
from demist.formats import contents
from demist.formats.recipes import recipe_rows
from demist.zoo import locate


def write(path, shapes, metadata=None, kind="F16"):
    """A file of weights whose numbers are zeros."""
    header, end = {"__metadata__": {"format": "pt", **(metadata or {})}}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
    return path


def shown(path, capsys, *flags):
    assert main(["show", str(path), *flags]) == 0
    rows = [line.split("  ", 1) for line in capsys.readouterr().out.splitlines()]
    return [(label, text.strip()) for label, text in rows]


LORA = {"lora_unet_a.lora_down.weight": (8, 320), "lora_unet_a.lora_up.weight": (320, 8),
        "lora_unet_a.alpha": ()}  # fmt: skip


def test_a_lora(tmp_path, capsys):
    tags = {"10_cat": {"a cat": 10, "red": 3}, "more": {"red": 4}}
    said = {
        "ss_tag_frequency": json.dumps(tags),
        "ss_base_model_version": "sd_v1",
        "evil": "a\x1b[2J",
    }
    path = write(tmp_path / "a.safetensors", LORA, said)
    rows = dict(shown(path, capsys, "--hash"))
    assert rows["kind"] == f"LoRA (demist sample MODEL --lora {path})"
    assert rows["parameters"] == "5,121 in 3 tensors"
    assert rows["types"] == "F16 100.0%"
    assert rows["memory"] == "0.0102 MB as it is, 0.0205 MB in fp32, 0.0102 MB in bf16"
    assert rows["rank"] == "8 in 1 layers"
    assert rows["trained words"] == "a cat (10), red (7)"
    assert (rows["ss_base_model_version"], rows["evil"]) == ("sd_v1", "a [2J")
    whole = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (rows["SHA-256"], rows["short hash"]) == (whole, whole[:10])


def test_parts_of_a_model(tmp_path, capsys):
    net = {
        "input_blocks.0.0.weight": (320, 4, 3, 3), "middle_block.1.proj_in.weight": (8, 8, 1, 1),
        "middle_block.1.transformer_blocks.0.attn2.to_k.weight": (8, 8),
    }  # fmt: skip
    shapes = {f"model.diffusion_model.{name}": shape for name, shape in net.items()}
    alone = write(tmp_path / "net.safetensors", shapes)
    assert ("kind", "Stable Diffusion 1.x, the network alone") in shown(alone, capsys)
    shapes["first_stage_model.decoder.mid.block_1.norm1.weight"] = (8,)
    whole = shown(write(tmp_path / "whole.safetensors", shapes), capsys)
    assert ("kind", "Stable Diffusion 1.x") in whole
    assert [text for label, text in whole if label == "part"] == ["VAE: 0.0 M", "U-Net: 0.0 M"]


def test_folders(tmp_path, capsys):
    rows = shown(locate("digits"), capsys)
    assert ("part", "unet: UNet 0.7 M F32") in rows
    assert rows[1] == ("kind", "DemistPipeline, demist 0.1.0")
    assert main(["show", str(tmp_path)]) == 66
    assert "neither model_index.json nor config.json" in capsys.readouterr().err
    assert main(["show", str(tmp_path / "no")]) == 66
    (tmp_path / "x.pt").write_bytes(b"\x80\x02}q\x00.")
    assert main(["show", str(tmp_path / "x.pt")]) == 77
    capsys.readouterr()


def test_what_people_call_a_model(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs/0007-cats"
    run.mkdir(parents=True)
    (run / "config.toml").write_text("")
    (run / "status.json").write_text('{"state": "done"}')
    for spec, word in (("digits", "DemistPipeline"), ("7", "0007-cats"), ("cats", "0007-cats")):
        assert main(["show", spec]) == 0
        assert word in capsys.readouterr().out
    assert main(["show", "nothing"]) != 0
    assert "no file or folder nothing, and there is no run 'nothing'" in capsys.readouterr().err


def test_recipes_of_images(tmp_path, capsys):
    image = Image.new("RGB", (4, 4))
    for name in ("a.png", "a.jpg", "a.gif", "a.webp"):
        save_image(image, tmp_path / name, {"command": "demist sample digits", "seed": 3})
        rows = shown(tmp_path / name, capsys)
        assert rows[1:] == [("command", "demist sample digits"), ("seed", "3")]
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\nNegative prompt: dog\nSteps: 20, Seed: 1")
    node = {"class_type": "KSampler", "inputs": {"seed": 5, "model": ["4", 0]}}
    info.add_text("prompt", json.dumps({"3": node, "9": {"class_type": "SaveImage", "inputs": {}}}))
    image.save(tmp_path / "b.png", pnginfo=info)
    assert shown(tmp_path / "b.png", capsys)[1:] == [
        ("A1111", "a cat"), ("A1111", "Negative prompt: dog"), ("A1111", "Steps: 20, Seed: 1"),
        ("KSampler", "seed=5"),
    ]  # fmt: skip
    with pytest.raises(DataError, match="does not say how it was made"):
        recipe_rows({"prompt": "[", "parameters": ""})


def test_words_that_are_said_outright():
    assert contents.trained_words({"modelspec.trigger_phrase": "ohwx man"}) == "ohwx man"
    assert contents.trained_words({"<s2>": "<embed>", "<s1>": "<embed>"}) == "<s1>, <s2>"
    for lie in ("[", "[1]", '{"a": 3}', '{"a": {"b": "x"}}', '{"a": {"b": Infinity}}'):
        assert contents.trained_words({"ss_tag_frequency": lie}) == ""


def test_it_needs_no_torch(tmp_path):
    path = write(tmp_path / "a.safetensors", LORA)
    code = f"import sys; from demist.cli import main; main(['show', {str(path)!r}]); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
