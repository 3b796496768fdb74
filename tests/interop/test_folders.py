"""Folders of other makers: what they are, and what is wrong with them, in one sentence."""

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from demist import Pipeline
from demist.core import Eps, V
from demist.errors import DataError, DemistError, MissingError
from demist.interop import read_scheduler
from demist.networks import published

NET = {
    "sample_size": [8, 16],
    "block_out_channels": [8, 16],
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": 4,
}
WEIGHTS = "diffusion_pytorch_model.safetensors"


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_net(folder, options=NET, cls=published.UNet2D, name=WEIGHTS):
    torch.manual_seed(1)
    net = cls.from_json(options, "here")
    write(folder / "config.json", {"_class_name": cls.kind, "_diffusers_version": "0.9", **options})
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / name)
    return net


@pytest.fixture
def folder(tmp_path):
    index = {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]}
    write(tmp_path / "m/model_index.json", index)
    write(tmp_path / "m/scheduler/scheduler_config.json", {"_class_name": "DDPMScheduler"})
    write_net(tmp_path / "m/unet")
    return tmp_path / "m"


def test_a_ddpm_folder_samples(folder):
    pipeline = Pipeline.load(folder)
    assert pipeline.shape == (3, 8, 16)
    assert pipeline.denoiser.bounds == (-1, 1)
    assert pipeline.bucket == 1
    one, again = (pipeline.sample(2, steps=3, seed=4) for _ in range(2))
    assert one.shape == (2, 3, 8, 16)
    assert one.std() > 1
    np.testing.assert_array_equal(one, again)


def test_what_the_network_sees_and_says(folder):
    """At step 700 the network sees the index 700, and its output is the noise."""
    pipeline = Pipeline.load(folder)
    net, x, t = pipeline.denoiser.net, torch.randn(2, 3, 8, 16), torch.tensor(701 / 1000)
    p = pipeline.denoiser(x, t.double())
    pipeline.denoiser.bounds = None
    p = pipeline.denoiser(x, t.double())
    torch.testing.assert_close(p.eps, net(x, torch.tensor(700.0)), atol=1e-6, rtol=1e-5)
    betas = torch.linspace(1e-4, 0.02, 1000)
    bar = torch.cumprod(1 - betas, 0)[700]
    torch.testing.assert_close(p.alpha.float(), bar.sqrt(), atol=1e-6, rtol=1e-6)


def test_flat_folders_and_variants(tmp_path):
    write_net(tmp_path, name="diffusion_pytorch_model.fp16.safetensors")
    write(tmp_path / "scheduler_config.json", {"_class_name": "DDIMScheduler"})
    assert Pipeline.load(tmp_path).sample(1, steps=2).shape == (1, 3, 8, 16)


def test_shards(folder):
    whole = published.UNet2D.from_json(NET, "here").state_dict()
    (folder / "unet" / WEIGHTS).unlink()
    table = {}
    for i, (name, value) in enumerate(sorted(whole.items())):
        file = f"part-{i % 2}.safetensors"
        table[name] = file
    for file in set(table.values()):
        held = {k: v.contiguous() for k, v in whole.items() if table[k] == file}
        save_file(held, folder / "unet" / file)
    write(folder / "unet" / f"{WEIGHTS}.index.json", {"weight_map": table})
    loaded = Pipeline.load(folder).denoiser.net.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in whole.items())


def test_old_names_of_attention(folder):
    net = published.UNet2D.from_json(NET, "here")
    old = {}
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for name, value in net.state_dict().items():
        for new, before in names.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{before}.")
        old[name] = value.contiguous()
    assert any("proj_attn" in name for name in old)
    save_file(old, folder / "unet" / WEIGHTS)
    loaded = Pipeline.load(folder).denoiser.net.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in net.state_dict().items())


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def link_out(path):
    path.unlink()
    path.symlink_to("/etc/hosts")


def change(path, **values):
    write(path, {**json.loads(path.read_text()), **values})


BROKEN = {
    "unknown pipeline": (
        lambda m: change(m / "model_index.json", _class_name="KolorsPipeline"),
        DataError, r"'KolorsPipeline', which is not known; known are DDPMPipeline",
    ),
    "unknown network": (
        lambda m: change(m / "unet/config.json", _class_name="Other"), DataError, "class 'Other'",
    ),
    "unknown key": (
        lambda m: change(m / "unet/config.json", skip_everything=3),
        DataError, "skip_everything = 3, which this version does not know",
    ),
    "unknown block": (
        lambda m: change(m / "unet/config.json", down_block_types=["DownBlock2D", "Skip2D"]),
        DataError, "block 'Skip2D'",
    ),
    "no groups": (
        lambda m: change(m / "unet/config.json", norm_num_groups=-1), DataError,
        "norm_num_groups = -1; it must be 1 or more",
    ),
    "a wrong type": (
        lambda m: change(m / "unet/config.json", layers_per_block="x"), DataError,
        "layers_per_block = 'x'",
    ),
    "no heads": (
        lambda m: change(m / "unet/config.json", attention_head_dim=3), DataError, "5 heads",
    ),
    "another width": (
        lambda m: change(m / "unet/config.json", block_out_channels=[8, 8]), DataError, "unet",
    ),
    "a wrong size": (
        lambda m: change(m / "unet/config.json", sample_size="large"), DataError, "sample_size",
    ),
    "no weights": (lambda m: (m / "unet" / WEIGHTS).unlink(), MissingError, "no file of weights"),
    "a pickle": (
        lambda m: os.rename(m / "unet" / WEIGHTS, m / "unet" / "diffusion_pytorch_model.bin"),
        MissingError, "is a pickle, which is never read",
    ),
    "cut": (lambda m: cut(m / "unet" / WEIGHTS), DataError, "safetensors"),
    "no scheduler": (
        lambda m: (m / "scheduler/scheduler_config.json").unlink(), MissingError, "scheduler",
    ),
    "unknown scheduler": (
        lambda m: change(m / "scheduler/scheduler_config.json", _class_name="Karras"),
        DataError, "class 'Karras', which is not known",
    ),
    "unknown prediction": (
        lambda m: change(m / "scheduler/scheduler_config.json", prediction_type="x"),
        DataError, "prediction_type = 'x'; known are epsilon",
    ),
    "unknown betas": (
        lambda m: change(m / "scheduler/scheduler_config.json", beta_schedule="x"),
        DataError, "beta_schedule = 'x' is not known",
    ),
    "betas of the wrong type": (
        lambda m: change(m / "scheduler/scheduler_config.json", beta_start=[1]),
        DataError, "describes no schedule",
    ),
    "too many steps": (
        lambda m: change(m / "scheduler/scheduler_config.json", num_train_timesteps=10**12),
        DataError, "describes no schedule",
    ),
    "a link out": (
        lambda m: link_out(m / "unet" / WEIGHTS), DemistError, "leads out of",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "kind", "words"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_said(folder, harm, kind, words):
    harm(folder)
    with pytest.raises(kind, match=words):
        Pipeline.load(folder)


def test_missing_keys_mean_what_the_class_means():
    plain = read_scheduler({"_class_name": "EulerDiscreteScheduler"}, "here")
    assert plain.bounds is None
    assert plain.parameterization == Eps()
    lcm = read_scheduler({"_class_name": "LCMScheduler"}, "here").schedule
    root = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    torch.testing.assert_close(lcm.alpha_bar, torch.cumprod(1 - root, 0), atol=1e-5, rtol=1e-5)
    zero = {"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": True,
            "prediction_type": "v_prediction"}  # fmt: skip
    read = read_scheduler(zero, "here")
    assert read.schedule.alpha_bar[-1] == 0
    assert read.parameterization == V()
    typed = {"_class_name": "DDPMScheduler", "trained_betas": [0.1, 0.2, 0.3]}
    bar = read_scheduler(typed, "here").schedule.alpha_bar
    torch.testing.assert_close(bar, torch.tensor([0.9, 0.72, 0.504]).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("scheduler/scheduler_config.json", {"prediction_type": []}),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 1e308}),
        ("scheduler/scheduler_config.json", {"clip_sample_range": float("nan")}),
        ("unet/config.json", {"block_out_channels": {}}),
        ("unet/config.json", {"norm_num_groups": 0}),
        ("model_index.json", {"_class_name": ["DDPMPipeline"]}),
    ],
)
def test_values_of_no_sense_are_one_sentence(folder, file, change):
    write(folder / file, json.loads((folder / file).read_text()) | change)
    with pytest.raises(DataError, match=str(folder)):
        Pipeline.load(folder)
