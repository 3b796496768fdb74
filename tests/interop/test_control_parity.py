"""ControlNets and T2I-Adapters lead samples as in diffusers: same start, images and guidance.

Needs diffusers and transformers, on which the project does not depend.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from demist import Pipeline
from demist.commands.sample import main as sample
from demist.conditions import Control
from demist.errors import DataError, UsageError
from demist.interop import read_control

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from .test_interop_parity import (  # noqa: E402
    PATH,
    PROMPTS,
    SD,
    VAE,
    XL,
    drawn,
    encoder,
    last,
    require_equal,
    times,
    tokenizer,
)

pytestmark = pytest.mark.filterwarnings("ignore")

SHARED = {k: v for k, v in SD.items() if k not in ("up_block_types", "sample_size")}
SHARED_XL = {k: v for k, v in XL.items() if k not in ("up_block_types", "sample_size")}
NINE = {**SD, "in_channels": 9}
HINT = {"conditioning_embedding_out_channels": (4, 6)}
ASKED = {"num_inference_steps": 5, "guidance_scale": 5.0, "output_type": "latent"}


def control_net(config=SHARED):
    return drawn(diffusers.ControlNetModel(**config, **HINT))


def t2i(**options):
    return drawn(diffusers.T2IAdapter(channels=[8, 16], downscale_factor=2, **options))


def pieces(tmp_path, xl=False):
    tokens = tokenizer(tmp_path / "t")
    scheduler = diffusers.DDIMScheduler(**PATH, clip_sample=False, steps_offset=1)
    parts = {
        "vae": drawn(diffusers.AutoencoderKL(**VAE)),
        "text_encoder": encoder(transformers.CLIPTextModel, 12),
        "tokenizer": tokens,
        "unet": drawn(diffusers.UNet2DConditionModel(**(XL if xl else SD))),
        "scheduler": scheduler,
    }
    if xl:
        second = encoder(transformers.CLIPTextModelWithProjection, 16, 10)
        return {**parts, "text_encoder_2": second, "tokenizer_2": tokens}
    return {**parts, "safety_checker": None, "feature_extractor": None}


def made(cls, tmp_path, **parts):
    further = {"requires_safety_checker": False} if "safety_checker" in parts else {}
    theirs = cls(**parts, **further)
    theirs.set_progress_bar_config(disable=True)
    theirs.save_pretrained(tmp_path / "m")
    return theirs


def two_images(channels=3):
    return np.random.default_rng(3).integers(0, 256, (2, channels, 32, 32), dtype=np.uint8)


def as_theirs(images):
    return torch.from_numpy(images).float() / 255


def ours(pipeline, theirs, x, **cond):
    grid = times(theirs.scheduler, 0.0)
    given = {"text": PROMPTS, **cond}
    return last(pipeline.plan(2, solver="ddim", grid=grid, init=x, guidance=5.0, **given))


def test_one_control_net(tmp_path):
    """As a folder and put beside the plain model, with a scale and a window."""
    torch.manual_seed(0)
    net, parts = control_net(), pieces(tmp_path)
    theirs = made(diffusers.StableDiffusionControlNetPipeline, tmp_path, **parts, controlnet=net)
    images, x = two_images(), torch.randn(2, 4, 16, 16)
    asked = {**ASKED, "image": as_theirs(images)}
    latents = theirs(PROMPTS, latents=x.clone(), **asked).images
    pipeline = Pipeline.load(tmp_path / "m")
    require_equal(ours(pipeline, theirs, x, control=images), latents)
    plain = ours(pipeline, theirs, x)
    assert (plain - latents).abs().max() > 0.1 * latents.std()

    # Steps 1 and 2 of 5, at t = 0.602 and 0.402.
    asked |= {"control_guidance_start": 0.2, "control_guidance_end": 0.6}
    latents = theirs(PROMPTS, latents=x.clone(), controlnet_conditioning_scale=0.7, **asked).images
    led = [Control(image, 0.7, (0.7, 0.3)) for image in images]
    require_equal(ours(pipeline, theirs, x, control=led), latents)
    beside = pipeline.controlled([tmp_path / "m/controlnet"])
    require_equal(ours(beside, theirs, x, control_2=led), latents)


def test_two_control_nets(tmp_path):
    torch.manual_seed(0)
    nets, parts = [control_net(), control_net()], pieces(tmp_path)
    theirs = made(diffusers.StableDiffusionControlNetPipeline, tmp_path, **parts, controlnet=nets)
    images, x = two_images(), torch.randn(2, 4, 16, 16)
    first, second = images
    latents = theirs(
        PROMPTS, latents=x.clone(), image=[as_theirs(first[None]), as_theirs(second[None])],
        controlnet_conditioning_scale=[0.7, 1.2], control_guidance_start=[0.0, 0.4],
        control_guidance_end=[0.6, 1.0], **ASKED,
    ).images  # fmt: skip
    pipeline = Pipeline.load(tmp_path / "m")
    assert list(pipeline.controls) == ["control", "control_2"]
    led = {"control": Control(first, 0.7, (1, 0.3)), "control_2": Control(second, 1.2, (0.5, 0))}
    require_equal(ours(pipeline, theirs, x, **led), latents)
    pipeline.save(tmp_path / "again")
    index = json.loads((tmp_path / "again/model_index.json").read_text())
    assert (
        index["controlnet"]
        == json.loads((tmp_path / "m/model_index.json").read_text())["controlnet"]
    )
    back = diffusers.StableDiffusionControlNetPipeline.from_pretrained(
        tmp_path / "again", safety_checker=None
    )
    for mine, its in zip(back.controlnet.nets, nets, strict=True):
        state = its.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in mine.state_dict().items())


def test_xl_control_net(tmp_path):
    torch.manual_seed(0)
    net, parts = control_net(SHARED_XL), pieces(tmp_path, xl=True)
    theirs = made(
        diffusers.StableDiffusionXLControlNetPipeline, tmp_path, **parts, controlnet=net,
        add_watermarker=False,
    )  # fmt: skip
    images, x = two_images(), torch.randn(2, 4, 16, 16)
    latents = theirs(
        PROMPTS, latents=x.clone(), image=as_theirs(images), controlnet_conditioning_scale=0.7,
        **ASKED,
    ).images  # fmt: skip
    led = [Control(image, 0.7) for image in images]
    require_equal(ours(Pipeline.load(tmp_path / "m"), theirs, x, control=led), latents)


def test_inpainting(tmp_path, monkeypatch):
    """Where diffusers draws latents of the image with the hole, it is given their mean."""
    torch.manual_seed(0)
    parts = pieces(tmp_path) | {"unet": drawn(diffusers.UNet2DConditionModel(**NINE))}
    cls, net = diffusers.StableDiffusionControlNetInpaintPipeline, control_net()
    theirs = made(cls, tmp_path, **parts, controlnet=net)
    drawing = type(parts["vae"].encode(torch.zeros(1, 3, 32, 32)).latent_dist)
    monkeypatch.setattr(drawing, "sample", lambda self, generator=None: self.mean)
    images, x = two_images(), torch.randn(2, 4, 16, 16)
    mask = np.zeros((2, 1, 32, 32), np.uint8)
    mask[:, :, 8:24, 4:20] = 1
    latents = theirs(
        PROMPTS, latents=x.clone(), image=as_theirs(images[::-1].copy()), strength=1.0,
        mask_image=torch.from_numpy(mask).float(), control_image=as_theirs(images),
        controlnet_conditioning_scale=0.7, **ASKED,
    ).images  # fmt: skip
    led, hole = [Control(image, 0.7) for image in images], (images[::-1].copy(), mask)
    pipeline = Pipeline.load(tmp_path / "m")
    require_equal(ours(pipeline, theirs, x, control=led, hole=hole), latents)


@pytest.mark.parametrize("kind", ["full_adapter", "light_adapter"])
def test_adapter(tmp_path, kind):
    torch.manual_seed(0)
    options = {"channels": [16]} if kind == "light_adapter" else {"channels": [8, 16]}
    # Light adapters end in one block more than they have channels.
    unet = {**SD, "block_out_channels": (16, 16)} if kind == "light_adapter" else SD
    net = drawn(
        diffusers.T2IAdapter(downscale_factor=2, in_channels=1, adapter_type=kind, **options)
    )
    parts = pieces(tmp_path) | {"unet": drawn(diffusers.UNet2DConditionModel(**unet))}
    theirs = made(diffusers.StableDiffusionAdapterPipeline, tmp_path, **parts, adapter=net)
    image, x = two_images(1)[0], torch.randn(2, 4, 16, 16)
    latents = theirs(
        PROMPTS, latents=x.clone(), image=as_theirs(np.stack([image] * 2)),
        adapter_conditioning_scale=0.8, **ASKED,
    ).images  # fmt: skip
    pipeline = Pipeline.load(tmp_path / "m")
    led = Control(image, 0.8)
    require_equal(ours(pipeline, theirs, x, control=led), latents)
    again = pipeline.controlled([read_control(tmp_path / "m/adapter")])
    require_equal(ours(again, theirs, x, control_2=led), latents)
    halves = {"control": Control(image, 0.4), "control_2": Control(image, 0.4)}
    require_equal(ours(again, theirs, x, **halves), latents)


def test_xl_adapter(tmp_path):
    """Its last map goes to the middle; it is followed in the first part of the sampling."""
    torch.manual_seed(0)
    options = {"channels": [8, 16, 16, 16], "downscale_factor": 4}
    xl = {
        **XL,
        "block_out_channels": (8, 16, 16),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 1, 2),
        "attention_head_dim": (2, 4, 4),
    }
    net = drawn(diffusers.T2IAdapter(**options, adapter_type="full_adapter_xl"))
    parts = pieces(tmp_path, xl=True) | {"unet": drawn(diffusers.UNet2DConditionModel(**xl))}
    theirs = made(diffusers.StableDiffusionXLAdapterPipeline, tmp_path, **parts, adapter=net)
    image, x = two_images()[0], torch.randn(2, 4, 16, 16)
    latents = theirs(
        PROMPTS, latents=x.clone(), image=as_theirs(np.stack([image] * 2)),
        adapter_conditioning_scale=0.8, adapter_conditioning_factor=0.6, **ASKED,
    ).images  # fmt: skip
    led = Control(image, 0.8, (1.0, 0.3))
    require_equal(ours(Pipeline.load(tmp_path / "m"), theirs, x, control=led), latents)


def test_a_command_line(tmp_path, monkeypatch, capsys):
    """The flag says the same as the folder, in any order, and is written into the image."""
    torch.manual_seed(0)
    net, parts = control_net(), pieces(tmp_path)
    made(diffusers.StableDiffusionControlNetPipeline, tmp_path, **parts, controlnet=net)
    made(diffusers.StableDiffusionPipeline, tmp_path / "p", **parts)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(two_images()[0].transpose(1, 2, 0)).save("edges.png")
    asked = ["--prompt", "dog", "--n", "2", "--steps", "2"]
    ways = {
        "own": ["m", "--control", "edges.png:0.7:1-0.3"],
        "cond": ["m", "--cond", "control=edges.png:0.7:1-0.3"],
        "beside": ["p/m", "--control", "m/controlnet=edges.png:0.7:1-0.3"],
        "none": ["m"],
    }
    for name, way in ways.items():
        sample(asked + way + ["--arrays", f"{name}.npy", "--out", f"{name}.png"])
        said = capsys.readouterr().err
        assert ("no image for control: its network adds nothing" in said) is (name == "none")
    images = {name: np.load(f"{name}.npy") for name in ways}
    assert np.array_equal(images["own"], images["cond"])
    assert np.array_equal(images["own"], images["beside"])
    assert np.abs(images["own"].astype(int) - images["none"]).max() > 10
    with pytest.raises(UsageError, match="--cond gives control, and so does --control"):
        sample([*asked, *ways["own"], "--cond", "control=edges.png", "--out", "x.png"])
    with pytest.raises(DataError, match="makes no images by itself"):
        sample([*asked, "m/controlnet", "--out", "x.png"])
