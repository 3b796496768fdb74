"""A model with an IP-Adapter makes the latents that diffusers makes.

Needs diffusers and transformers, on which the project does not depend.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from demist import Pipeline

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from demist.networks.published.image_prompt import ImageTokens, Resampler  # noqa: E402

from .test_interop_parity import (  # noqa: E402
    PATH,
    PROMPTS,
    SD,
    VAE,
    drawn,
    encoder,
    last,
    require_equal,
    times,
    tokenizer,
)
from .test_ip_adapter import save, tensors_of  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("form", ["plain", "plus"])
def test_five_steps(tmp_path, form):
    torch.manual_seed(0)
    vision = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            image_size=32, patch_size=8, projection_dim=10,
        )
    ).eval()  # fmt: skip
    sizes = {"shortest_edge": 32}, {"height": 32, "width": 32}
    theirs = diffusers.StableDiffusionPipeline(
        drawn(diffusers.AutoencoderKL(**VAE)), encoder(transformers.CLIPTextModel, 12),
        tokenizer(tmp_path / "t"), drawn(diffusers.UNet2DConditionModel(**SD)),
        diffusers.DDIMScheduler(**PATH, clip_sample=False, steps_offset=1), None,
        transformers.CLIPImageProcessor(size=sizes[0], crop_size=sizes[1]),
        requires_safety_checker=False,
    )  # fmt: skip
    theirs.set_progress_bar_config(disable=True)
    theirs.save_pretrained(tmp_path / "m")
    vision.save_pretrained(tmp_path / "models/image_encoder")
    net = ImageTokens(10, 4, 12) if form == "plain" else Resampler(16, 5, 12, 64, 128, 4)
    tensors = {k: 0.3 * v for k, v in tensors_of(net).items()}
    path = save(tmp_path / "models/x.safetensors", tensors)
    theirs.load_ip_adapter(
        str(tmp_path), subfolder="models", weight_name="x.safetensors",
        image_encoder_folder="image_encoder",
    )  # fmt: skip
    theirs.set_ip_adapter_scale(0.6)
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    x = torch.randn(2, 4, 16, 16)
    latents = theirs(
        PROMPTS, latents=x.clone(), output_type="latent", num_inference_steps=5,
        guidance_scale=5.0, ip_adapter_image=Image.fromarray(image),
    ).images  # fmt: skip
    plain = Pipeline.load(tmp_path / "m")
    asked = {"solver": "ddim", "grid": times(theirs.scheduler, 0.0), "init": x, "guidance": 5.0}
    plan = plain.with_ip_adapter(path, 0.6).plan(
        2, **asked, text=PROMPTS, image_prompt=image.transpose(2, 0, 1)
    )
    require_equal(last(plan), latents)
    assert (last(plain.plan(2, **asked, text=PROMPTS)) - latents).abs().max() > 0.01
