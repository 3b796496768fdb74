"""The type of weights and of arithmetic: what --dtype does to the parts of a model."""

import json
import shutil
import subprocess
import sys
import warnings

import pytest
import torch
from safetensors.torch import save_file

from demist import Pipeline
from demist.cli import main
from demist.errors import DataError, UsageError
from demist.interop import Reading
from demist.model.open import open_model
from demist.networks import published

UNET = {
    "in_channels": 4, "out_channels": 4, "sample_size": 8, "block_out_channels": [8, 16],
    "norm_num_groups": 4, "layers_per_block": 1, "attention_head_dim": 4,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
}  # fmt: skip
VAE = {
    "block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1,
    "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
    "latent_channels": 4, "sample_size": 16,
}  # fmt: skip
WEIGHTS = "diffusion_pytorch_model.safetensors"


def write(folder, cls, config, change):
    torch.manual_seed(1)
    net = cls.from_json(config, "here")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"_class_name": cls.kind, **config}))
    save_file({k: change(v.contiguous()) for k, v in net.state_dict().items()}, folder / WEIGHTS)


def latents(folder, change=lambda x: x):
    """A model in the latents of an autoencoder, without prompts."""
    folder.mkdir()
    index = {"_class_name": "LDMPipeline", "unet": ["diffusers", "UNet2DModel"]}
    index["vae"] = ["diffusers", "AutoencoderKL"]
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "scheduler").mkdir()
    (folder / "scheduler/scheduler_config.json").write_text('{"_class_name": "DDIMScheduler"}')
    write(folder / "unet", published.UNet2D, UNET, change)
    write(folder / "vae", published.AutoencoderKL, VAE, change)
    return folder


def types_of(pipeline):
    return [next(net.parameters()).dtype for net in pipeline.components().values()]


@pytest.mark.parametrize(
    ("name", "network", "codec"),
    [
        ("fp32", torch.float32, torch.float32),
        ("bf16", torch.bfloat16, torch.bfloat16),
        ("fp16", torch.float16, torch.float32),
    ],
)
def test_networks_have_the_type_and_the_autoencoder_never_fp16(tmp_path, name, network, codec):
    folder = latents(tmp_path / "m")
    pipeline = Pipeline.load(folder, Reading(dtype=name))
    assert types_of(pipeline) == [network, codec]
    whole = Pipeline.load(folder)
    for net, other in zip(pipeline.components().values(), whole.components().values(), strict=True):
        for key, value in net.state_dict().items():
            assert torch.equal(value, other.state_dict()[key].to(value.dtype))
    image = pipeline.sample(2, steps=3, seed=4).astype(float)
    assert abs(image - whole.sample(2, steps=3, seed=4)).mean() < {"fp32": 1e-9}.get(name, 2)
    assert image.std() > 1


def test_what_is_wider_than_its_file_is_told_once(tmp_path):
    folder = latents(tmp_path / "m", torch.Tensor.half)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        assert types_of(Pipeline.load(folder)) == [torch.float32] * 2
    (words,) = {str(warning.message) for warning in told}
    assert words.endswith(
        "weights in fp16 are read as fp32, in twice the memory; --dtype fp16 keeps them"
    )
    Pipeline.load(folder, Reading(dtype="bf16"))  # not a word
    small = latents(tmp_path / "f8", lambda x: x.to(torch.float8_e4m3fn))
    with pytest.warns(UserWarning, match="weights in F8_E4M3 are read as bf16"):
        assert types_of(Pipeline.load(small, Reading(dtype="bf16"))) == [torch.bfloat16] * 2


def test_nan_in_a_file_names_the_tensor(tmp_path):
    def spoil(x):
        return x.fill_(torch.nan) if x.shape == (4, 8, 3, 3) else x

    folder = latents(tmp_path / "m", spoil)
    with pytest.raises(DataError, match=r"unet/.*'conv_out.weight' holds NaN"):
        Pipeline.load(folder)


def test_the_flag(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = str(latents(tmp_path / "m"))
    assert main(["sample", folder, "--n", "1", "--steps", "1", "--dtype", "bf16"]) == 0
    assert main(["bulk", folder, "out", "--n", "2", "--steps", "1", "--dtype", "bf16"]) == 0
    assert main(["sample", folder, "--dtype", "fp8"]) == 64
    assert "fp8" in capsys.readouterr().err
    with pytest.raises(UsageError, match="dtype = 'x'; choose one of fp32, fp16, bf16"):
        Pipeline.load(folder, Reading(dtype="x"))
    with pytest.warns(UserWarning, match="digits stays in fp32"):
        open_model("digits", reading=Reading(dtype="bf16"))


def test_sides_that_the_blocks_cannot_halve(tmp_path):
    folder = latents(tmp_path / "m")
    made = Pipeline.load(folder)
    with pytest.raises(UsageError, match="multiples of 4; the nearest size has height 8 and width"):
        made.sized((10, 30))
    assert made.sized((8, 20)).sample(1, steps=1).shape == (1, 3, 8, 20)
    file = folder / "unet/config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "sample_size": [8, 7]}))
    with pytest.raises(DataError, match=r"latents of 8 x 7, and its blocks need .* multiples of 2"):
        Pipeline.load(folder)


OPENED = """
import sys
from pathlib import Path
from demist import Pipeline
from demist.interop import Reading
import demist.model.open

def peak():
    rows = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
    return int(rows["VmHWM"].split()[0]) * 1024

before = peak()
made = Pipeline.load(sys.argv[1], Reading(dtype=sys.argv[2]))
held = sum(p.nbytes for net in made.components().values() for p in net.parameters())
print(held, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_are_never_held_twice(tmp_path, stored):
    wide = {**UNET, "block_out_channels": [256, 1024], "layers_per_block": 2}
    folder = latents(tmp_path / "m")
    shutil.rmtree(folder / "unet")
    write(folder / "unet", published.UNet2D, wide, lambda x: x.to(stored))
    command = [sys.executable, "-c", OPENED, str(folder), "bf16"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    held, more = map(int, told.split())
    assert held > 150e6
    assert more < 1.15 * held
