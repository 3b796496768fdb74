"""Small models, runs and data of every kind, to be damaged by `hostile.py`."""

import contextlib
import io
import json
import pickle
import shutil
import tarfile

import numpy as np
import torch
from PIL import Image

from demist.cli import main as demist
from demist.codecs import ChannelScale, KLAutoencoder, Pixels, Standardize
from demist.conditions import Conditioner, Label, Numbers
from demist.core import VP, Denoiser, Linear, Velocity
from demist.io.tensors import write_tensors
from demist.model import NoisyClassifier, Pipeline, Sampling
from demist.networks import MLP, Autoencoder, UNet, published
from demist.networks.encoder import Encoder

LINE = (
    "train eight --limit 64 --width 4 --depth 1 --batch-size 4 --save-every 1 --sample-count 0 "
    "--threads 1"
)


def model_of_images(place):
    torch.manual_seed(0)
    net = UNet(
        in_channels=1, channels=[8, 8], attention=[], num_classes=2, norm_groups=2, head_dim=8
    )
    conditioner = Conditioner({"label": Label(("cat", "dog"))})
    denoiser = Denoiser(_shaken(net), Linear(), Velocity(), input_std=0.5, bounds=(-1.0, 1.0))
    how = Sampling(2, guidance=1.5)
    Pipeline(denoiser, Pixels(), conditioner, (1, 8, 8), how, {"data": "made up"}).save(place)


def model_in_latents(place):
    torch.manual_seed(1)
    auto = Autoencoder(in_channels=1, latent_channels=2, channels=[8], patch=2, norm_groups=2)
    codec = KLAutoencoder(_shaken(auto), Pixels(), ChannelScale((0.25, -0.5), 1.5))
    size = Numbers(("size", "angle"), (0.0, 1.0), (2.0, 5.0), octaves=2)
    conditioner = Conditioner({"numbers": size})
    net = UNet(
        in_channels=2, channels=[8], attention=[], mid_attention=False, norm_groups=2,
        inlets=conditioner.specs(),
    )  # fmt: skip
    denoiser = Denoiser(_shaken(net), VP(), Velocity())
    Pipeline(denoiser, codec, conditioner, (1, 8, 8), Sampling(2, "ddim")).save(place)


def model_of_points(place):
    torch.manual_seed(2)
    net = MLP(features=2, width=8, depth=1)
    denoiser = Denoiser(_shaken(net), VP(), Velocity())
    codec = Standardize((0.5, 0.0), 2.0)
    Pipeline(denoiser, codec, Conditioner(), (2,), Sampling(2, grid=(1.0, 0.5, 0.0))).save(place)


def model_of_others(place):
    """A folder as diffusers saves it; it has no sums, so that what it says is always believed."""
    torch.manual_seed(3)
    options = {
        "sample_size": 8, "block_out_channels": [8], "norm_num_groups": 4, "layers_per_block": 1,
        "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"],
        "attention_head_dim": 4,
    }  # fmt: skip
    net = published.UNet2D.from_json(options, "here")
    files = {
        "model_index.json": {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]},
        "scheduler/scheduler_config.json": {"_class_name": "DDPMScheduler", "beta_end": 0.01},
        "unet/config.json": {"_class_name": net.kind, **options},
    }
    for name, value in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(json.dumps(value))
    tensors = {name: value.contiguous() for name, value in net.state_dict().items()}
    write_tensors(place / "unet/diffusion_pytorch_model.safetensors", tensors)


def classifier_of_noise(place):
    torch.manual_seed(4)
    net = Encoder(outputs=2, channels=[8], attention=[])
    place.mkdir()
    NoisyClassifier(_shaken(net), VP(), 0.5, ("cat", "dog")).save(place / "x.safetensors")


def _shaken(net):
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return net


def make_runs(place):
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        for seed in ("0", "1"):
            line = [*LINE.split(), "--steps", "3", "--seed", seed, "--runs", str(place), "--fresh"]
            assert demist(line) == 0


def make_data(place):
    rng = np.random.default_rng(0)
    photos = place / "photos"
    for name in ("a", "b"):
        (photos / name).mkdir(parents=True)
        for i in range(3):
            pixels = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
            pixels.save(photos / name / f"{i}.png")
    rows = "".join(f"{name}/{i}.png,text {i}\n" for name in "ab" for i in range(3))
    (photos / "metadata.csv").write_text(f"file_name,text\n{rows}")
    lines = [json.dumps({"file_name": f"{i}.png", "label": "x"}) for i in range(3)]
    shutil.copytree(photos / "a", place / "lines")
    (place / "lines" / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    for ending in ("tar", "tar.gz", "tar.xz"):
        (place / ending).mkdir()
        with tarfile.open(place / ending / f"x.{ending}", f"w:{ending[4:]}") as archive:
            archive.add(photos, "")
    (place / "zip").mkdir()
    shutil.make_archive(str(place / "zip" / "x"), "zip", photos)
    (place / "arrays").mkdir()
    images = rng.integers(0, 256, (6, 8, 8, 3), np.uint8)
    np.savez(place / "arrays" / "x.npz", x=images, y=np.arange(6) % 2)
    (place / "array").mkdir()
    np.save(place / "array" / "x.npy", rng.normal(size=(6, 2)).astype("f4"))
    (place / "idx").mkdir()
    for kind, array in (("images-idx3", images[..., 0]), ("labels-idx1", np.arange(6) % 2)):
        sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
        data = bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()
        (place / "idx" / f"train-{kind}-ubyte").write_bytes(data)
    (place / "cifar").mkdir()
    batch = {b"data": rng.integers(0, 256, (3, 3072), np.uint8), b"labels": [0, 1, 1]}
    (place / "cifar" / "data_batch_1").write_bytes(pickle.dumps(batch, 2))
    names = {b"label_names": [b"a", b"b"]}
    (place / "cifar" / "batches.meta").write_bytes(pickle.dumps(names, 2))
