"""Folders of editors, upscaler and refiner, without diffusers: what their networks are given."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from demist import Pipeline
from demist.conditions import Condition, Conditioner, Score
from demist.core import Seeded
from demist.data.images.decode import read_image
from demist.errors import DataError, UsageError
from demist.guidance import CFG, Dual
from demist.interop import Reading
from demist.interop.save import save
from demist.model import open_model
from demist.model.plan import sample_seed
from demist.model.values import conditions_of
from demist.networks import published

from .test_flux_pixart_folders import VAE
from .test_folders import write, write_net

NET = {
    "block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1, "sample_size": 8,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 12, "attention_head_dim": 2,
}  # fmt: skip
VAE = {**VAE, "shift_factor": None}
XL = {**NET, "addition_embed_type": "text_time", "addition_time_embed_dim": 8}
STATES = torch.cos(torch.arange(120.0)).reshape(2, 5, 12)
POOLED = torch.cos(torch.arange(20.0)).reshape(2, 10)
T = torch.tensor(0.6, dtype=torch.float64)


def made(folder, kind, config, encoders=("text_encoder",), **index):
    """A folder whose encoders are there, but empty: nobody opens them."""
    names = [*encoders, *(name.replace("text_encoder", "tokenizer") for name in encoders)]
    for name in names:
        (folder / name).mkdir(parents=True)
    parts = {name: ["diffusers", "x"] for name in (*names, "vae", "unet")}
    write(folder / "model_index.json", {"_class_name": kind, **parts, **index})
    for name in ("scheduler", "low_res_scheduler"):
        write(folder / name / "scheduler_config.json", {"_class_name": "DDIMScheduler"})
    write_net(folder / "vae", VAE, published.AutoencoderKL)
    net = write_net(folder / "unet", config, published.UNet2DCondition)
    return Pipeline.load(folder), net.eval()


def no_image(name, channels, sides):
    raise AssertionError("nobody gave an image")


def pixels(side=16, n=2):
    return np.random.default_rng(3).integers(0, 256, (n, 3, side, side), dtype=np.uint8)


def encoded(pipeline, **values):
    conditioner = pipeline.conditioner
    return conditioner.encode_only(2, values)


def require_said(pipeline, net, cond, x, **given):
    """The noise at time 0.6 is what the bare network says of this."""
    with torch.no_grad():
        expected = net.run(x, torch.full((2,), 599.0), **given)
        found = pipeline.denoiser(x, T, **cond).eps
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_a_hole_is_a_mask_and_latents(tmp_path):
    """The mask of each block's first pixel; the latents' mean of the image that is grey there."""
    config = {**NET, "in_channels": 9}
    pipeline, net = made(tmp_path, "StableDiffusionInpaintPipeline", config)
    assert pipeline.shape == (3, 16, 16)
    mask = np.zeros((2, 1, 16, 16), np.uint8)
    mask[0, :, 4:9, 3:] = 1
    cond = encoded(pipeline, hole=(pixels(), mask))
    shown = torch.from_numpy(pixels()) / 127.5 - 1
    with torch.no_grad():
        mean, _ = pipeline.codec.net.encode(shown * (1 - torch.from_numpy(mask).float()))
    beside = torch.cat([torch.from_numpy(mask[:, :, ::2, ::2]).float(), 0.5 * mean], 1)
    torch.testing.assert_close(cond["hole.image"], beside[:, 1:], atol=1e-6, rtol=1e-5)
    assert torch.equal(cond["hole.mask"], beside[:, :1])
    x = torch.randn(2, 4, 8, 8)
    require_said(pipeline, net, {**cond, "text": STATES}, x, states=STATES, beside=beside)


def test_guidance_leaves_the_hole(tmp_path):
    config = {**NET, "in_channels": 9}
    pipeline, _ = made(tmp_path, "StableDiffusionInpaintPipeline", config)
    cond = encoded(pipeline, hole=(pixels(), np.ones((2, 1, 16, 16), np.uint8)))
    null = pipeline.conditioner.null(cond)
    assert all(torch.equal(null[key], value) for key, value in cond.items())
    nothing = encoded(pipeline, hole=None)
    assert (nothing["hole.mask"] == 1).all()
    assert torch.equal(nothing["hole.image"], cond["hole.image"])  # all of both is grey


def test_instructions_lead_from_the_image_and_from_none(tmp_path):
    config = {**NET, "in_channels": 8}
    pipeline, net = made(tmp_path, "StableDiffusionInstructPix2PixPipeline", config)
    assert pipeline.defaults.guidance_rule == "dual"
    cond = encoded(pipeline, image=pixels())
    with torch.no_grad():
        mean, _ = pipeline.codec.net.encode(torch.from_numpy(pixels()) / 127.5 - 1)
    torch.testing.assert_close(cond["image"], mean)  # not scaled
    assert torch.equal(pipeline.conditioner.null(cond)["image"], torch.zeros_like(mean))
    x = torch.randn(2, 4, 8, 8)
    require_said(pipeline, net, {**cond, "text": STATES}, x, states=STATES, beside=mean)


@pytest.mark.parametrize(
    ("kind", "name", "channels"),
    [
        ("StableDiffusionInstructPix2PixPipeline", "image", 8),
        ("StableDiffusionInpaintPipeline", "hole", 9),
    ],
)
def test_images_of_conditions_are_tiled_as_samples_are(tmp_path, kind, name, channels):
    made(tmp_path, kind, {**NET, "in_channels": channels})
    place = str(tmp_path)
    tiled = open_model(place, device="cpu", reading=Reading(tile=True))
    for pipeline, side in ((Pipeline.load(place), 0), (tiled, 512)):
        coder = pipeline.conditioner.conditions[name].coder
        assert coder.tile == pipeline.codec.tile == side
        assert coder.scale.scale == (1.0 if name == "image" else 0.5)


def test_two_scales(tmp_path):
    """By its definition; equal scales are plain guidance, and one is none."""
    config = {**NET, "in_channels": 8}
    pipeline, _ = made(tmp_path, "StableDiffusionInstructPix2PixPipeline", config)
    # In double precision: a scale of 7 enlarges what float32 rounds.
    model, x = pipeline.denoiser.double(), torch.randn(2, 4, 8, 8).double()
    states, image = STATES.double(), encoded(pipeline, image=pixels())["image"].double()
    cond = {"image": image, "text": states}

    def null(given):
        return {"text": 0 * given["text"], "image": 0 * given["image"]}

    with torch.no_grad():
        none, all_ = model(x, T, **null(cond)).eps, model(x, T, **cond).eps
        first = model(x, T, text=0 * states, image=image).eps
        expected = none + 1.5 * (first - none) + 7.0 * (all_ - first)
        torch.testing.assert_close(Dual(model, 7.0, null)(x, T, **cond).eps, expected)
        equal, plain = Dual(model, 3.0, null, first_scale=3.0), CFG(model, 3.0, null)
        torch.testing.assert_close(equal(x, T, **cond).eps, plain(x, T, **cond).eps)
        assert torch.equal(Dual(model, 1.0, null, first_scale=1.0)(x, T, **cond).eps, all_)


def upscaler(folder, **index):
    config = {**NET, "in_channels": 7, "num_class_embeds": 60}
    return made(folder, "StableDiffusionUpscalePipeline", config, **index)


def test_a_small_image_with_noise_of_a_level(tmp_path):
    pipeline, net = upscaler(tmp_path, max_noise_level=40)
    assert pipeline.codec.scale.scale == 0.08333
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float32)
    bar = torch.cumprod(1 - betas, 0)
    small = torch.from_numpy(pixels(8)) / 127.5 - 1
    for image, level in ((pixels(8), 20), ((pixels(8), 40), 40)):
        plan = prompted(pipeline).plan(2, text="x", image=image, seed=3)
        noise = Seeded([sample_seed(3, i) for i in range(2)], field="image")(small)
        noisy = bar[level].sqrt() * small + (1 - bar[level]).sqrt() * noise
        torch.testing.assert_close(plan.cond["image.image"], noisy)
        x = torch.randn(2, 4, 8, 8)
        given = {
            "states": STATES[:1].expand(2, 5, 12),
            "beside": noisy,
            "label": torch.tensor([level] * 2),
        }
        require_said(pipeline, net, plan.cond, x, **given)
        null = plan.pipeline.conditioner.null(plan.cond)
        assert torch.equal(null["image.image"], plan.cond["image.image"])


@dataclass(frozen=True, eq=False)
class Fixed(Condition):
    """Stands for the prompt: no encoder is opened."""

    parts: dict
    drop: float = 0.1
    group: str = ""

    short = "prompt"

    @classmethod
    def of(cls, column, shape, drop):
        raise NotImplementedError

    def encode(self, values, n):
        off = float(values is not None)
        return {k: off * v[:1].expand(n, *v.shape[1:]) for k, v in self.parts.items()}

    def spec(self):
        return {}

    def parse(self, text, read_image):
        return text


def prompted(pipeline, **parts):
    """The model with a prompt that says always the same."""
    text = Fixed(parts or {"states": STATES})
    return replace(
        pipeline, conditioner=Conditioner({**pipeline.conditioner.conditions, "text": text})
    )


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (None, r"2 times larger and was given none; give one of shape \(3, 8, 8\)"),
        ((pixels(8), 41), "noise level of 41: give a whole number from 0 to 40, usually 20"),
        ((pixels(8), 1.5), "noise level of 1.5"),
        (pixels(16), r"this condition takes \(3, 8, 8\)"),
    ],
)
def test_what_an_upscaler_refuses(tmp_path, image, words):
    pipeline, _ = upscaler(tmp_path, max_noise_level=40)
    with pytest.raises(UsageError, match=words):
        prompted(pipeline).sample(2, text="x", image=image, steps=1)


def test_a_small_image_is_typed_with_its_level(tmp_path):
    pipeline, _ = upscaler(tmp_path)
    image = pipeline.conditioner.conditions["image"]
    assert image.most == 59  # the network knows no more
    files = []

    def read(file, channels, sides):
        files.append(file)
        return np.zeros((channels, 8, 8), np.uint8)

    assert image.parse("a,b.png,7", read)[1] == 7
    assert image.parse("a,b.png", read).shape == (3, 8, 8)
    assert files == ["a,b.png"] * 2
    assert image.sized(32, 48).shape == (3, 16, 24)


NUMBERS = {
    False: ("StableDiffusionXLPipeline", 6, ["text", "original", "crop", "target"]),
    True: ("StableDiffusionXLImg2ImgPipeline", 5, ["text", "original", "crop", "aesthetic"]),
}


def xl(folder, refiner, **config):
    kind, count, _ = NUMBERS[refiner]
    net = {**XL, "projection_class_embeddings_input_dim": 10 + 8 * count, **config}
    encoders = ("text_encoder_2",) if refiner else ("text_encoder", "text_encoder_2")
    absent = {"text_encoder": [None, None], "tokenizer": [None, None]} if refiner else {}
    return made(folder, kind, net, encoders, requires_aesthetics_score=refiner, **absent)


@pytest.mark.parametrize("refiner", [False, True], ids=["base", "refiner"])
def test_numbers_of_xl(tmp_path, refiner):
    pipeline, net = xl(tmp_path, refiner)
    assert list(pipeline.conditioner.conditions) == NUMBERS[refiner][2]
    assert len(pipeline.conditioner.conditions["text"].encoders) == 2 - refiner
    last, low = ([6.0], [2.5]) if refiner else ([16.0, 16.0], [16.0, 16.0])
    text = {"text.states": STATES, "text.pooled": POOLED}
    sizes = {"original": [[50, 60], [30, 40]], "crop": (7, 3)}
    cond = encoded(pipeline, **sizes, **{NUMBERS[refiner][2][-1]: None})
    rows = torch.tensor([[50.0, 60, 7, 3, *last], [30, 40, 7, 3, *last]])
    x = torch.randn(2, 4, 8, 8)
    given = {"states": STATES, "pooled": POOLED}
    require_said(pipeline, net, {**cond, **text}, x, sizes=rows, **given)
    null = pipeline.conditioner.null(cond)
    rows = torch.tensor([[50.0, 60, 7, 3, *low], [30, 40, 7, 3, *low]])
    require_said(pipeline, net, {**null, **text}, x, sizes=rows, **given)


def test_a_refiner_that_does_not_say_so_is_refused(tmp_path):
    xl(tmp_path, True)
    write(tmp_path / "text_encoder_2/config.json", {"projection_dim": 10})
    assert Pipeline.load(tmp_path).conditioner.conditions["aesthetic"]
    index = json.loads((tmp_path / "model_index.json").read_text())
    write(tmp_path / "model_index.json", {**index, "requires_aesthetics_score": False})
    with pytest.raises(DataError, match=r"takes 50 features, but 6 numbers of 8 and .* 10 are 58"):
        Pipeline.load(tmp_path)


def test_sizes_follow_the_size_that_is_asked_for(tmp_path):
    pipeline, _ = xl(tmp_path, False, in_channels=4)
    conditions = pipeline.sized((8, 32)).conditioner.conditions
    assert conditions["original"].default == conditions["target"].default == (8, 32)
    assert conditions["crop"].default == (0, 0)


def test_a_hole_follows_the_size_too(tmp_path):
    pipeline, _ = made(tmp_path, "StableDiffusionInpaintPipeline", {**NET, "in_channels": 9})
    wide = pipeline.sized((8, 32))
    given = (np.zeros((3, 8, 32), np.uint8), np.ones((1, 8, 32), np.uint8))
    cond = wide.conditioner.encode_only(2, {"hole": given})
    assert cond["hole.image"].shape == (2, 4, 4, 16)
    with pytest.raises(UsageError, match=r"takes \(1, 16, 16\), one for all or 2 of them"):
        pipeline.conditioner.encode_only(2, {"hole": given})


def test_image_files_are_cut_and_resized_which_is_said(tmp_path):
    pipeline, _ = made(tmp_path / "m", "StableDiffusionInpaintPipeline", {**NET, "in_channels": 9})
    tall, exact = np.zeros((40, 30, 3), np.uint8), np.full((16, 16), 255, np.uint8)
    for name, image in (("a", tall), ("b", exact)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / f"{name}.png") for name in "ab"]
    with pytest.warns(UserWarning, match="30x40 pixels: its middle is cut out and resized to 16x1"):
        given = conditions_of(pipeline, [f"hole={files[0]},{files[1]}"], read_image)
    image, mask = given["hole"]
    assert image.shape == (3, 16, 16)
    assert (mask == 1).all()
    with pytest.raises(UsageError, match="has 16x16 pixels, and 24x8 are needed: resize it"):
        conditions_of(pipeline.sized((8, 24)), [f"hole={files[0]},{files[1]}"], read_image)
    with pytest.raises(UsageError, match=r"give an image and its mask, image\.png,mask\.png"):
        conditions_of(pipeline, ["hole=a.png"], read_image)


def test_a_plain_network_is_not_inpainted_by_a_condition(tmp_path):
    with pytest.warns(UserWarning, match="takes no mask, so it makes images from prompts"):
        pipeline, _ = made(tmp_path, "StableDiffusionInpaintPipeline", NET)
    assert list(pipeline.conditioner.conditions) == ["text"]


@pytest.mark.parametrize(
    ("kind", "channels", "words"),
    [
        ("StableDiffusionInpaintPipeline", 5, "takes 4 of the state and 5 of a mask and"),
        ("StableDiffusionInstructPix2PixPipeline", 9, "in_channels = 9; .* and 4 of the latents"),
        ("StableDiffusionUpscalePipeline", 4, "and 3 of a small image"),
    ],
)
def test_other_numbers_of_channels_are_refused(tmp_path, kind, channels, words):
    with pytest.raises(DataError, match=words):
        made(tmp_path, kind, {**NET, "in_channels": channels})


@pytest.mark.parametrize("most", ["many", -1])
def test_levels_of_no_sense_are_refused(tmp_path, most):
    with pytest.raises(DataError, match="which levels of noise"):
        upscaler(tmp_path, max_noise_level=most)


def test_a_rule_that_comes_to_a_condition_first_needs_it(tmp_path):
    pipeline, _ = made(tmp_path, "StableDiffusionPipeline", NET)
    with pytest.raises(
        UsageError, match=r"comes to 'image' first, and .* are text; write dual:fir"
    ):
        prompted(pipeline).plan(2, text="x", guidance_rule="dual", guidance=3.0)


def test_scores():
    assert Score().encode([7, None], 2)["score"].tolist() == [[7], [6]]
    assert Score().parse("7.5", no_image) == 7.5
    with pytest.raises(UsageError, match="write a number, such as 6"):
        Score().parse("good", no_image)
    with pytest.raises(UsageError, match="give one number from 0 to 10, or 2"):
        Score().encode([1.0], 2)


def test_the_index_of_a_saved_upscaler_has_both_schedulers(tmp_path):
    upscaler(tmp_path / "m")
    index = json.loads((tmp_path / "m/model_index.json").read_text())
    write(tmp_path / "m/model_index.json", {**index, "low_res_scheduler": ["diffusers", "x"]})
    again = Pipeline.load(tmp_path / "m")
    save(tmp_path / "out", again.origin, {"unet": again.denoiser.net})
    written = json.loads((tmp_path / "out/model_index.json").read_text())
    assert written["low_res_scheduler"] == ["diffusers", "DDIMScheduler"]
    assert (tmp_path / "out/low_res_scheduler/scheduler_config.json").is_file()


def test_latent_consistency_is_told_its_guidance(tmp_path):
    config = {**NET, "time_cond_proj_dim": 6}
    pipeline, net = made(tmp_path, "LatentConsistencyModelPipeline", config)
    assert pipeline.defaults.guidance == 8.5
    plan = prompted(pipeline).plan(2, text="x", guidance=3.0)
    assert plan.cond["embedded_guidance"].tolist() == [3, 3]
    assert plan.model is plan.pipeline.model
    x = torch.randn(2, 4, 8, 8)
    given = {"states": STATES[:1].expand(2, 5, 12), "scale": torch.tensor([3.0, 3.0])}
    require_said(pipeline, net, plan.cond, x, **given)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_in_half_the_conditions_are_taken_too(tmp_path, dtype):
    """Images, levels, numbers and scales reach a network of another type."""
    reading = Reading(dtype=dtype)
    upscaler(tmp_path / "u")
    xl(tmp_path / "r", True, time_cond_proj_dim=6)
    made(tmp_path / "i", "StableDiffusionInpaintPipeline", {**NET, "in_channels": 9})
    hole = (pixels(), np.ones((2, 1, 16, 16), np.uint8))
    parts = {"states": STATES, "pooled": POOLED}
    for name, text, cond in (
        ("u", {"states": STATES}, {"image": pixels(8)}), ("i", {"states": STATES}, {"hole": hole}),
        ("r", parts, {"aesthetic": 7.0}),
    ):  # fmt: skip
        pipeline = prompted(Pipeline.load(tmp_path / name, reading), **text)
        whole = prompted(Pipeline.load(tmp_path / name), **text)
        ends = [
            list(p.plan(2, text="x", steps=2, solver="ddim", **cond).states())[-1].x
            for p in (pipeline, whole)
        ]
        assert ends[0].isfinite().all()
        assert (ends[0] - ends[1]).abs().mean() / ends[1].std() < 0.1
