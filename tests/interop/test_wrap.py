"""Any pipeline of diffusers as a denoiser: the same network, the same times, the same states."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from demist.errors import UsageError
from demist.guidance import CFG, Instead
from demist.interop import wrap
from demist.samplers import sample
from demist.samplers.solvers import DDIM, Euler

torch.manual_seed(0)


class Net(nn.Module):
    """A velocity that depends on the time, on a condition and on a constant, told backwards."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(2, 2, 1)

    def forward(self, hidden_states, timestep, words=None, scale=1.0, extra=None, return_dict=True):
        y = self.mix(hidden_states) * scale + timestep.reshape(-1, 1, 1, 1)
        return (y + words.mean(1).reshape(-1, 1, 1, 1) + extra["size"].reshape(-1, 1, 1, 1),)


class Flow:
    """What a scheduler of straight paths does."""

    config = {"num_train_timesteps": 1000}  # noqa: RUF012

    def set_timesteps(self, n):
        self.timesteps = torch.linspace(1000, 1000 / n, n)
        self.at = 0

    def step(self, output, t, sample, **kwargs):
        after = self.timesteps[self.at + 1] if self.at + 1 < len(self.timesteps) else 0.0
        self.at += 1
        return (sample + (after - t) / 1000 * output,)


Flow.__name__ = "FlowMatchEulerDiscreteScheduler"


class Pipe:
    """A pipeline that gives its network 1 - t and turns its output around."""

    def __init__(self, calls=1, line=lambda t: 1 - t / 1000):
        self.transformer, self.scheduler, self.calls, self.line = Net(), Flow(), calls, line

    def __call__(self, words, latents=None, num_inference_steps=4, output_type="pil", double=False):
        x = torch.randn(len(words), 2, 4, 4) if latents is None else latents
        self.scheduler.set_timesteps(num_inference_steps)
        for t in self.scheduler.timesteps:
            for _ in range(self.calls):
                seen = torch.cat([x, x]) if double else x
                more = torch.cat([words, words]) if double else words
                out = self.transformer(
                    seen, self.line(t).expand(len(seen)), words=more, scale=0.5,
                    extra={"size": more[:, 0], "no": 3}, return_dict=False,
                )[0]  # fmt: skip
            x = self.scheduler.step(-out[: len(x)], t, x)[0]
        return SimpleNamespace(images=x)


def test_the_same_states():
    pipe, words, x = Pipe(), torch.randn(3, 5), torch.randn(3, 2, 4, 4)
    step = pipe.scheduler.step
    wrapped = wrap(pipe, words=words)
    assert pipe.scheduler.step == step
    assert wrapped.cond.keys() == {"words", "extra.size"}
    assert wrapped.shape == (2, 4, 4)
    assert wrapped.grid == pytest.approx((1, 0.75, 0.5))
    with torch.no_grad():
        theirs = pipe(words, latents=x, num_inference_steps=4).images
        grid = torch.linspace(1, 0, 5, dtype=torch.float64)
        ours = sample(wrapped.denoiser, x, grid, Euler(), **wrapped.cond)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    other = wrap(pipe, words=torch.zeros(3, 5))
    with torch.no_grad():
        guided = sample(
            CFG(wrapped.denoiser, 3.0, Instead(other.cond)), x, grid, Euler(), **wrapped.cond
        )
    assert (guided - ours).abs().max() > 0.1


@pytest.mark.parametrize(
    ("pipe", "call", "words"),
    [
        (Pipe(), {"double": True}, "6 states for 3 samples; switch its own guidance off"),
        (Pipe(calls=2), {}, "called its network"),
        (Pipe(line=lambda t: (t / 1000) ** 2), {}, "no line of the scheduler's"),
        (SimpleNamespace(), {}, "has no network called transformer"),
    ],
)  # fmt: skip
def test_what_is_no_denoiser_is_said(pipe, call, words):
    with pytest.raises(UsageError, match=words):
        wrap(pipe, words=torch.randn(3, 5), **call)


def lumina(diffusers):
    net = diffusers.Lumina2Transformer2DModel(
        sample_size=8, in_channels=4, hidden_size=24, num_layers=1, num_refiner_layers=1,
        num_attention_heads=3, num_kv_heads=1, multiple_of=2, axes_dim_rope=(4, 2, 2),
        axes_lens=(32, 32, 32), cap_feat_dim=8,
    )  # fmt: skip
    return diffusers.Lumina2Pipeline(
        net, diffusers.FlowMatchEulerDiscreteScheduler(), None, None, None
    ), {"prompt_attention_mask": torch.ones(2, 5, dtype=torch.bool)}


def aura(diffusers):
    net = diffusers.AuraFlowTransformer2DModel(
        sample_size=8, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=8, caption_projection_dim=16,
        pos_embed_max_size=64,
    )  # fmt: skip
    return diffusers.AuraFlowPipeline(
        None, None, None, net, diffusers.FlowMatchEulerDiscreteScheduler(shift=1.73)
    ), {"prompt_attention_mask": torch.ones(2, 5)}


def diffusion(diffusers):
    net = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, sample_size=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=8,
        attention_head_dim=2,
    )  # fmt: skip
    scheduler = diffusers.DDIMScheduler(clip_sample=False, steps_offset=1)
    return diffusers.StableDiffusionPipeline(
        None, None, None, net, scheduler, None, None, requires_safety_checker=False
    ), {}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [lumina, aura, diffusion])
def test_pipelines_of_diffusers(make):
    diffusers = pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    torch.manual_seed(1)
    pipe, further = make(diffusers)
    pipe.set_progress_bar_config(disable=True)
    for net in (getattr(pipe, n, None) for n in ("transformer", "unet")):
        for parameter in [] if net is None else net.parameters():
            if parameter.ndim > 1:
                parameter.data.normal_(0, 0.1)
    words, x = torch.randn(2, 5, 8), torch.randn(2, 4, 8, 8)
    factor = pipe.vae_scale_factor
    call = {
        "prompt_embeds": words, "guidance_scale": 1.0, "height": 8 * factor, "width": 8 * factor,
        **further,
    }  # fmt: skip
    theirs = pipe(**call, latents=x.clone(), num_inference_steps=5, output_type="latent").images
    wrapped = wrap(pipe, **call)
    if make is diffusion:
        pipe.scheduler.set_timesteps(5)
        grid, solver = [(int(t) + 1) / 1000 for t in pipe.scheduler.timesteps] + [0.0], DDIM()
    else:
        pipe.scheduler.set_timesteps(5)
        if make is lumina:
            pipe.scheduler.set_timesteps(sigmas=torch.linspace(1, 0.2, 5).numpy())
        grid, solver = pipe.scheduler.sigmas.tolist(), Euler()
    with torch.no_grad():
        ours = sample(
            wrapped.denoiser, x, torch.tensor(grid, dtype=torch.float64), solver, **wrapped.cond
        )
    assert (ours - theirs).abs().max() / theirs.std() < 1e-5
