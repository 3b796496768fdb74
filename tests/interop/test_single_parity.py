"""Single files that demist writes of tiny folders are read again with the same bits.

What diffusers makes of them is in `test_two_ways_parity.py`.

Needs diffusers and transformers, on which the project does not depend.
"""

import numpy as np
import pytest
import torch

from demist import Pipeline, __version__
from demist.cli import main
from demist.drawing import read_texts
from demist.interop import Reading

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from .test_flux_pixart_parity import FLUX, t5  # noqa: E402  (it needs diffusers)
from .test_interop_parity import PATH, PROMPTS, SD, SD3, VAE, XL, drawn, encoder, tokenizer  # noqa: E402
from .test_pipelines_parity import REFINER, a_mask, picture, sd  # noqa: E402
from .test_pipelines_parity import xl as xl_model  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

FLOW = diffusers.FlowMatchEulerDiscreteScheduler
CLIP, PROJECTED = transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection


def kl(**options):
    return drawn(diffusers.AutoencoderKL(**VAE, **options))


def ddim(**options):
    return diffusers.DDIMScheduler(**PATH, clip_sample=False, steps_offset=1, **options)


def sd1(tokens):
    net = drawn(diffusers.UNet2DConditionModel(**SD))
    parts = (kl(), encoder(CLIP, 12), tokens, net, ddim(), None, None)
    return diffusers.StableDiffusionPipeline(*parts, requires_safety_checker=False)


def sd2(tokens):
    net = drawn(diffusers.UNet2DConditionModel(**SD, use_linear_projection=True))
    scheduler = ddim(prediction_type="v_prediction")
    parts = (kl(), encoder(CLIP, 12), tokens, net, scheduler, None, None)
    return diffusers.StableDiffusionPipeline(*parts, requires_safety_checker=False)


def xl(tokens):
    return diffusers.StableDiffusionXLPipeline(
        kl(), encoder(CLIP, 12), encoder(PROJECTED, 16, 16), tokens, tokens,
        drawn(diffusers.UNet2DConditionModel(
            **{**XL, "projection_class_embeddings_input_dim": 16 + 6 * 8}
        )),
        ddim(), add_watermarker=False,
    )  # fmt: skip


def sd3(tokens):
    first = encoder(PROJECTED, 12, 12)
    first.text_projection.weight.data = torch.eye(12)  # diffusers takes no other from a file
    net = {**SD3, "pooled_projection_dim": 12 + 16, "joint_attention_dim": 32}
    return diffusers.StableDiffusion3Pipeline(
        drawn(diffusers.SD3Transformer2DModel(**net)), FLOW(shift=3.0),
        kl(scaling_factor=1.5, shift_factor=0.06), first, tokens, encoder(PROJECTED, 16, 16),
        tokens, None, None,
    )  # fmt: skip


def flux(tokens):
    long, words = t5()
    return diffusers.FluxPipeline(
        FLOW(shift=1.0), kl(scaling_factor=0.36, shift_factor=0.12), encoder(CLIP, 12), tokens,
        long, words, drawn(diffusers.FluxTransformer2DModel(**FLUX)),
    )  # fmt: skip


MODELS = {"sd1": sd1, "sd2": sd2, "xl": xl, "sd3": sd3, "flux": flux}


@pytest.fixture
def files(tmp_path):
    """A pipeline of diffusers, its folder, ours, and our single file of it."""

    def make(name):
        torch.manual_seed(0)
        theirs = MODELS[name](tokenizer(tmp_path / "t"))
        theirs.set_progress_bar_config(disable=True)
        theirs.save_pretrained(tmp_path / "m")
        ours = Pipeline.load(tmp_path / "m")
        ours.save_published(tmp_path / "one.safetensors", "single", say=pytest.fail)
        return theirs, tmp_path / "m", ours, tmp_path / "one.safetensors"

    return make


@pytest.mark.parametrize("name", MODELS)
def test_it_reads_again_with_the_same_bits(files, name):
    *_, ours, file = files(name)
    again = Pipeline.load(file)
    wanted = ours.components()
    assert again.components().keys() == wanted.keys()
    for key, net in again.components().items():
        known = wanted[key].state_dict()
        assert net.state_dict().keys() == known.keys()
        assert all(torch.equal(value, known[k]) for k, value in net.state_dict().items())
    asked = {"text": PROMPTS, "steps": 2, "size": (32, 32)}
    np.testing.assert_array_equal(again.sample(2, **asked), ours.sample(2, **asked))


IMAGE = {"hole": (picture(), a_mask()), "image": picture(), "small": picture(16)}
EDITORS = {
    "inpaint": (diffusers.StableDiffusionInpaintPipeline, 9, {"hole": IMAGE["hole"]}),
    "ip2p": (diffusers.StableDiffusionInstructPix2PixPipeline, 8, {"image": IMAGE["image"]}),
    "upscale": (diffusers.StableDiffusionUpscalePipeline, 7, {"image": IMAGE["small"]}),
    "xl inpaint": (diffusers.StableDiffusionXLInpaintPipeline, XL, {"hole": IMAGE["hole"]}),
    "refiner": (diffusers.StableDiffusionXLImg2ImgPipeline, REFINER, {"aesthetic": 7.5}),
}


@pytest.mark.parametrize("name", EDITORS)
def test_editors_upscaler_and_refiner(tmp_path, name):
    cls, form, given = EDITORS[name]
    places = (tmp_path / "m", tmp_path / "t")
    if isinstance(form, int):
        more = {} if form != 7 else {
            "low_res_scheduler": diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
            "net": {"num_class_embeds": 400},
        }  # fmt: skip
        _, ours = sd(cls, places[0], form, places[1], **more)
    else:
        net = form if name == "refiner" else {**form, "in_channels": 9}
        _, ours = xl_model(cls, *places, net, name == "refiner")
    ours.save_published(tmp_path / "one.safetensors", "single", say=pytest.fail)
    again = Pipeline.load(tmp_path / "one.safetensors")
    assert again.defaults == ours.defaults
    asked = {"text": PROMPTS, "steps": 2, **given}
    np.testing.assert_array_equal(again.sample(2, **asked), ours.sample(2, **asked))


@pytest.mark.parametrize("name", ["sd1", "sd3"])
def test_parts_and_configurations_of_a_folder(files, name, tmp_path):
    """A file without what demist says in its metadata, and the folder that says it."""
    _, folder, ours, _ = files(name)
    ours.save_published(tmp_path / "c", "comfy", say=pytest.fail)
    net = tmp_path / "c/diffusion_models/c.safetensors"
    clips = sorted((tmp_path / "c/text_encoders").glob("*"))
    names = ["text_encoder", "text_encoder_2"]
    from safetensors.torch import load_file, save_file

    save_file(load_file(net), net)
    parts = [f"config={folder}", f"vae={folder / 'vae'}"]
    files = [p for stem in ("clip_l", "clip_g") for p in clips if p.stem == stem]
    parts += [f"{key}={path}" for key, path in zip(names, files, strict=False)]
    parts += [f"{key}={folder / key}" for key in ("tokenizer", "tokenizer_2")[: len(files)]]
    again = Pipeline.load(net, Reading(part=tuple(parts)))
    asked = {"text": PROMPTS, "steps": 2, "size": (32, 32)}
    np.testing.assert_array_equal(again.sample(2, **asked), ours.sample(2, **asked))


def test_on_the_command_line(files, monkeypatch):
    """A file is sampled and exported; the image says how it was made, unless it must not."""
    _, folder, _, file = files("sd1")
    monkeypatch.chdir(folder.parent)
    asked = ["sample", str(file), "--prompt", "a cat", "--n", "1", "--steps", "2", "--seed", "7"]
    assert main([*asked, "--negative", "dog", "--guidance", "3", "--out", "a.png"]) == 0
    assert read_texts("a.png")["parameters"] == (
        "a cat\nNegative prompt: dog\nSteps: 2, Sampler: adams, CFG scale: 3.0, Seed: 7, "
        f"Size: 32x32, Model: one, Version: demist {__version__}"
    )
    assert main([*asked, "--no-metadata", "--out", "b.png"]) == 0
    assert read_texts("b.png") == {}
    assert main(["export", str(folder), "two.safetensors", "--format", "single"]) == 0
    assert (folder.parent / "two.safetensors").read_bytes() == file.read_bytes()
    assert main(["export", str(folder), "two.safetensors", "--format", "single"]) == 73


def test_clips_own_tokenizer():
    """The vocabulary that comes along splits as one made of the published files does."""
    from demist.interop.single.vocabulary import clip_tokenizer

    made = clip_tokenizer("here", "!")
    known = [49406, 320, 1125, 539, 320, 736, 1615, 525, 518, 3293, 267]
    assert made("A photo of a red car on the moon, übergr 8")["input_ids"][:11] == known
    assert made("a photo of a red car")["input_ids"] == [*known[:7], 49407]
    padded = made("a", padding="max_length", max_length=77)["input_ids"]
    assert padded == [49406, 320, 49407, *[0] * 74]
    assert clip_tokenizer("here").pad_token_id == 49407
