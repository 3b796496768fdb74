"""What demist writes of a folder is the model it was: diffusers makes the same image of all three.

Of each family a tiny folder is saved by diffusers, opened and exported here, and opened by
diffusers again: as a folder, and by `from_single_file` with the configurations of the first folder,
but none of its weights. Every tensor is compared bit for bit, and the image of two steps.

Needs diffusers and transformers, on which the project does not depend.
"""

import shutil
from types import FunctionType

import numpy as np
import pytest
import torch

from demist import Pipeline

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from .test_flux_pixart_parity import FLUX, PIXART, t5  # noqa: E402  (it needs diffusers)
from .test_interop_parity import PATH, PLAIN, PROMPTS, SD, SD3, VAE, XL, drawn, encoder, tokenizer  # noqa: E402
from .test_pipelines_parity import REFINER  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

CLIP, PROJECTED = transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection
FLOW = diffusers.FlowMatchEulerDiscreteScheduler
COND_PROJ = "time_embedding.cond_proj.weight"
ROUND = np.random.default_rng(3)
PICTURES = [Image.fromarray(ROUND.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in "ab"]
SMALL = [image.resize((16, 16)) for image in PICTURES]
MASK = Image.fromarray(np.kron([[0, 255], [255, 0]], np.ones((16, 16))).astype(np.uint8))


def ddim(**options):
    return diffusers.DDIMScheduler(**PATH, clip_sample=False, steps_offset=1, **options)


def kl(**options):
    return drawn(diffusers.AutoencoderKL(**VAE, **options))


def sd(kind="", scheduler=None, low=None, **net):
    """A pipeline of Stable Diffusion 1 or 2."""

    def make(words):
        cls = getattr(diffusers, f"StableDiffusion{kind}Pipeline")
        checker = {} if low else {"requires_safety_checker": False}
        if low:
            checker["low_res_scheduler"] = low
        unet = diffusers.UNet2DConditionModel(**{**SD, **net})
        return cls(
            vae=kl(), text_encoder=encoder(CLIP, 12), tokenizer=words, unet=drawn(unet),
            scheduler=scheduler or ddim(), safety_checker=None, feature_extractor=None, **checker,
        )  # fmt: skip

    return make


def xl(kind="", refiner=False, **net):
    def make(words):
        first = (None, None) if refiner else (encoder(CLIP, 12), words)
        width = (16 + 5 * 8) if refiner else (16 + 6 * 8)
        form = {**(REFINER if refiner else XL), "projection_class_embeddings_input_dim": width}
        score = {"requires_aesthetics_score": refiner} if kind else {}
        return getattr(diffusers, f"StableDiffusionXL{kind}Pipeline")(
            vae=kl(), text_encoder=first[0], tokenizer=first[1],
            text_encoder_2=encoder(PROJECTED, 16, 16), tokenizer_2=words,
            unet=drawn(diffusers.UNet2DConditionModel(**{**form, **net})), scheduler=ddim(),
            add_watermarker=False, **score,
        )  # fmt: skip

    return make


def sd3(long=False, projected=False, **net):
    def make(words):
        first = encoder(PROJECTED, 12, 12)
        if not projected:
            first.text_projection.weight.data = torch.eye(12)
        form = {**SD3, "pooled_projection_dim": 12 + 16, "joint_attention_dim": 32, **net}
        third, third_words = t5(32) if long else (None, None)
        return diffusers.StableDiffusion3Pipeline(
            drawn(diffusers.SD3Transformer2DModel(**form)), FLOW(shift=3.0),
            kl(scaling_factor=1.5, shift_factor=0.06), first, words, encoder(PROJECTED, 16, 16),
            words, third, third_words,
        )  # fmt: skip

    return make


def flux(guided, scheduler):
    def make(words):
        long, long_words = t5()
        return diffusers.FluxPipeline(
            scheduler, kl(scaling_factor=0.36, shift_factor=0.12), encoder(CLIP, 12), words, long,
            long_words, drawn(diffusers.FluxTransformer2DModel(**FLUX, guidance_embeds=guided)),
        )  # fmt: skip

    return make


def pixart(kind, **net):
    def make(_):
        long, words = t5()
        form = {**PIXART, **net}
        return getattr(diffusers, f"PixArt{kind}Pipeline")(
            words, long, kl(), drawn(diffusers.PixArtTransformer2DModel(**form)), ddim()
        )

    return make


def dit(_):
    net = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, num_layers=2, sample_size=16,
        num_embeds_ada_norm=1000, out_channels=8,
    )  # fmt: skip
    return diffusers.DiTPipeline(drawn(net), kl(), ddim())


def pixels(kind):
    net = drawn(diffusers.UNet2DModel(**PLAIN))
    scheduler = diffusers.DDPMScheduler() if kind == "DDPM" else diffusers.DDIMScheduler()
    return getattr(diffusers, f"{kind}Pipeline")(net, scheduler)


def coded(_):
    codes = drawn(diffusers.VQModel(**VAE, num_vq_embeddings=9))
    return diffusers.LDMPipeline(codes, drawn(diffusers.UNet2DModel(**PLAIN)), ddim())


def tiny(words):
    theirs = sd()(words)
    theirs.vae = drawn(diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1),
    ))  # fmt: skip
    theirs.register_modules(vae=theirs.vae)
    return theirs


LINEAR = {"use_linear_projection": True}
V = {"scheduler": ddim(prediction_type="v_prediction")}
LOW = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2")
DYNAMIC = FLOW(use_dynamic_shifting=True, shift=3.0, base_shift=0.5, max_shift=1.15)
LATENTS = {"latents": (2, 4, 16, 16), "guidance_scale": 5.0}
SIZED = {**LATENTS, "height": 32, "width": 32}
EDITED = {**SIZED, "image": PICTURES, "mask_image": MASK, "strength": 1.0}
FLUXED = {"latents": (2, 64, 16), "height": 32, "width": 32}
SINGLE = {
    "sd1": (sd(), LATENTS),
    "sd1 v": (sd(**V), LATENTS),
    "sd1 lcm": (sd(time_cond_proj_dim=8), LATENTS),
    "sd1 inpaint": (sd("Inpaint", in_channels=9), EDITED),
    "ip2p": (sd("InstructPix2Pix", in_channels=8), {**LATENTS, "image": PICTURES}),
    "sd2 eps": (sd(**LINEAR), LATENTS),
    "sd2 v": (sd(**LINEAR, **V), LATENTS),
    "sd2 inpaint": (sd("Inpaint", in_channels=9, **LINEAR), EDITED),
    "upscale": (sd("Upscale", low=LOW, in_channels=7, num_class_embeds=400, **LINEAR,
                   only_cross_attention=(True, False)), {**LATENTS, "image": SMALL}),
    "xl": (xl(), LATENTS),
    "xl img2img": (xl("Img2Img"), {"guidance_scale": 5.0, "image": PICTURES, "strength": 0.9}),
    "xl refiner": (xl("Img2Img", True),
                   {"guidance_scale": 5.0, "image": PICTURES, "strength": 0.9}),
    "xl inpaint": (xl("Inpaint", in_channels=9), EDITED),
    "sd3": (sd3(), SIZED),
    "sd3 projected": (sd3(projected=True), SIZED),
    "sd3 with T5": (sd3(True), SIZED),
    "sd3.5 large": (sd3(True, qk_norm="rms_norm"), SIZED),
    "sd3.5 medium": (sd3(True, qk_norm="rms_norm", dual_attention_layers=(0,)), SIZED),
    "flux dev": (flux(True, DYNAMIC), {**FLUXED, "guidance_scale": 3.0}),
    "flux schnell": (flux(False, FLOW(shift=1.0)), {**FLUXED, "max_sequence_length": 256}),
}  # fmt: skip
"""Name -> how the pipeline is made, and what it is asked beside prompts, steps and a generator."""
BINNED = {**SIZED, "use_resolution_binning": False, "clean_caption": False}
FOLDERS = {
    **SINGLE,
    "tiny autoencoder": (tiny, LATENTS),
    "ddpm": (lambda _: pixels("DDPM"), None),
    "ddim": (lambda _: pixels("DDIM"), None),
    "ldm": (coded, None),
    "dit": (dit, {"class_labels": [3, 7], "guidance_scale": 5.0}),
    "pixart alpha": (pixart("Alpha"), BINNED),
    "pixart alpha 1024": (pixart("Alpha", sample_size=128), BINNED),
    "pixart sigma": (pixart("Sigma", interpolation_scale=2), BINNED),
}


ABSENT = {key: {"text_encoder_3": None, "tokenizer_3": None} for key in ("sd3", "sd3 projected")}
"""What diffusers has to be told of its own folder without T5, too."""


@pytest.fixture
def made(tmp_path):
    """A pipeline of diffusers, the folder that it saved, and the model that demist opened there."""

    def make(name):
        torch.manual_seed(0)
        theirs = FOLDERS[name][0](tokenizer(tmp_path / "words"))
        theirs.save_pretrained(tmp_path / "first")
        return theirs, tmp_path / "first", Pipeline.load(tmp_path / "first")

    return make


def image(pipeline, name):
    pipeline.set_progress_bar_config(disable=True)
    given = dict(FOLDERS[name][1] or {"batch_size": 2})
    shape = given.pop("latents", None)
    if shape:
        given["latents"] = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    if "image" in given or (shape and "class_labels" not in given):
        given["prompt"] = PROMPTS
    return pipeline(
        **given, num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(2)
    ).images


def same_tensors(found, known):
    assert known.keys() == found.keys()
    assert all(torch.equal(found[k], value) for k, value in known.items())


def require_same(one, other, name):
    """The same components with the same bits, and the same image, which is one."""
    first, second = one.components, other.components
    assert {k for k, v in first.items() if v is not None} == {
        k for k, v in second.items() if v is not None
    }
    for key, net in first.items():
        if isinstance(net, torch.nn.Module):
            same_tensors(second[key].state_dict(), net.state_dict())
    wanted, got = image(one, name), image(other, name)
    assert np.abs(wanted - got).max() <= 1e-6
    assert wanted.std() > 0.01


@pytest.mark.parametrize("name", FOLDERS)
def test_the_folder(made, tmp_path, name):
    theirs, _, ours = made(name)
    ours.save_published(tmp_path / "again", "diffusers", say=pytest.fail)
    left = ABSENT.get(name, {})
    require_same(theirs, type(theirs).from_pretrained(tmp_path / "again", **left), name)


def width_of_flux(monkeypatch):
    """What diffusers takes for granted when it reads a file of Flux: that it is 3072 wide."""
    row = SINGLE_FILE_LOADABLE_CLASSES["FluxTransformer2DModel"]
    convert = row["checkpoint_mapping_fn"]
    numbers = tuple(24 if n == 3072 else n for n in convert.__code__.co_consts)
    assert numbers != convert.__code__.co_consts
    code = convert.__code__.replace(co_consts=numbers)
    monkeypatch.setitem(row, "checkpoint_mapping_fn", FunctionType(code, convert.__globals__))


def without_weights(folder, place):
    shutil.copytree(folder, place, ignore=shutil.ignore_patterns("*.safetensors"))
    return str(place)


@pytest.mark.parametrize("name", SINGLE)
def test_the_single_file(made, tmp_path, monkeypatch, name):
    """Nothing but what diffusers cannot read at all is given to it beside the file.

    In diffusers/loaders/single_file_utils.py, `convert_ldm_unet_checkpoint` knows no name for
    `time_embedding.cond_proj` (latent consistency), which published files leave as it is, and
    `create_diffusers_clip_model_from_ldm` puts an identity in place of the projection of SD 3's
    first encoder. `test_the_parts_of_comfyui` compares those tensors.
    """
    theirs, folder, ours = made(name)
    file = tmp_path / "one.safetensors"
    ours.save_published(file, "single", say=pytest.fail)
    width_of_flux(monkeypatch)
    config = without_weights(folder, tmp_path / "config")
    given = dict(ABSENT.get(name, {}))
    if name == "sd1 lcm":
        given["unet"] = theirs.unet
    if name == "sd3 projected":
        given["text_encoder"] = theirs.text_encoder
    again = type(theirs).from_single_file(file, config=config, local_files_only=True, **given)
    for net in again.components.values():
        if isinstance(net, transformers.T5EncoderModel):
            net.eval()  # diffusers leaves its dropout on
    require_same(theirs, again, name)


def named_by_transformers(net):
    """A text encoder's tensors under the names of published files."""
    state = net.state_dict()
    if "shared.weight" in state or any(name.startswith("text_model.") for name in state):
        return state
    return {f"text_model.{name}": value for name, value in state.items()}


@pytest.mark.parametrize("name", SINGLE)
def test_the_parts_of_comfyui(made, tmp_path, monkeypatch, name):
    """Each file of ComfyUI's has the bits of its component, as diffusers reads it where it can.

    A U-Net alone it reads only below `model.diffusion_model.`, which is put before the names.
    """
    theirs, folder, ours = made(name)
    ours.save_published(tmp_path / "parts", "comfy", say=pytest.fail)
    width_of_flux(monkeypatch)
    config = without_weights(folder, tmp_path / "config")
    files = {f"{p.parent.name}/{p.stem}": load_file(p) for p in tmp_path.glob("parts/*/*")}
    net = files.pop("diffusion_models/parts")
    component = "unet" if hasattr(theirs, "unet") else "transformer"
    if component == "unet":
        net = {f"model.diffusion_model.{key}": value for key, value in net.items()}
    for key, state in ((component, net), ("vae", files.pop("vae/parts"))):
        cls, known = type(getattr(theirs, key)), getattr(theirs, key).state_dict()
        if name == "sd1 lcm" and key == "unet":
            found = {COND_PROJ: state["model.diffusion_model." + COND_PROJ]}
            same_tensors(found, {COND_PROJ: known[COND_PROJ]})
            continue
        same_tensors(cls.from_single_file(state, config=config, subfolder=key).state_dict(), known)
    texts = [theirs.components.get(f"text_encoder{n}") for n in ("", "_2", "_3")]
    texts = [named_by_transformers(net) for net in texts if net is not None]
    assert len(texts) == len(files)
    for known in texts:
        same_tensors(next(f for f in files.values() if f.keys() == known.keys() and all(
            value.shape == known[key].shape for key, value in f.items())), known)  # fmt: skip
