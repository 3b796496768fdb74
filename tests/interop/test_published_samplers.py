"""Published samplers go where diffusers' schedulers go: the same start, network and noise.

The numbers in golden/published_samplers.json are diffusers' own. Where it is installed it is asked
again, and the whole trajectory is compared.
"""

import inspect
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from demist.core import Denoiser, TorchSeeded
from demist.interop import published_sampler, read_scheduler
from demist.samplers import sample
from demist.samplers.published import Kept

GOLDEN = Path(__file__).parents[1] / "golden" / "published_samplers.json"

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
OFFSET = {**SD, "steps_offset": 1, "timestep_spacing": "leading"}
V = {"prediction_type": "v_prediction"}
ZERO = {**SD, **V, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
MIN = {"final_sigmas_type": "sigma_min"}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}

CASES = {
    "DDIM": {
        "default": ({}, 7),
        "sd": ({**OFFSET, "clip_sample": False, "set_alpha_to_one": False}, 8),
        "trailing": ({**SD, "timestep_spacing": "trailing", "clip_sample": False}, 7),
        "linspace-clipped": ({"timestep_spacing": "linspace", "clip_sample_range": 0.7}, 6),
        "thresholded": ({"thresholding": True, "sample_max_value": 1.6,
                         "dynamic_thresholding_ratio": 0.9}, 6),
        "zero-snr": ({**ZERO, "clip_sample": False}, 6),
        "noisy": ({**OFFSET, "clip_sample": False}, 6, {"eta": 0.7}),
        "sample": ({**COSINE, "prediction_type": "sample", "clip_sample": True}, 5),
    },
    "DDPM": {
        "default": ({}, 9),
        "log": ({"variance_type": "fixed_small_log", "timestep_spacing": "trailing"}, 6),
        "large": ({"variance_type": "fixed_large", "clip_sample": False, "steps_offset": 1}, 6),
        "linspace": ({**COSINE, "timestep_spacing": "linspace", **V}, 6),
        "learned": ({"variance_type": "learned_range", "timestep_spacing": "trailing"}, 6),
        "thresholded": ({"thresholding": True, "sample_max_value": 1.4}, 6),
    },
    "PNDM": {
        "sd": ({**OFFSET, "skip_prk_steps": True, "set_alpha_to_one": False}, 8),
        "default": ({}, 9),
        "short": ({"skip_prk_steps": True}, 2),
        "v": ({**SD, **V, "skip_prk_steps": True, "timestep_spacing": "trailing"}, 7),
        "runge-kutta-v": ({**V, "timestep_spacing": "linspace", "set_alpha_to_one": True}, 7),
    },
    "EulerDiscrete": {
        "default": ({}, 7),
        "sdxl": ({**OFFSET}, 8),
        "karras": ({**SD, "use_karras_sigmas": True}, 9),
        "exponential": ({**SD, "use_exponential_sigmas": True, "sigma_max": 11.0}, 6),
        "beta": ({**SD, "use_beta_sigmas": True, "timestep_spacing": "trailing"}, 8),
        "zero-snr": ({**ZERO}, 6),
        "log-linear": ({**SD, "interpolation_type": "log_linear"}, 6),
        "sigma-min": ({**OFFSET, **MIN}, 6),
        "continuous": ({**SD, **V, "timestep_type": "continuous", "use_karras_sigmas": True}, 6),
    },
    "EulerAncestralDiscrete": {
        "default": ({}, 6),
        "sdxl": ({**OFFSET, "use_karras_sigmas": True}, 8),
        "zero-snr": ({**ZERO}, 6),
    },
    "HeunDiscrete": {
        "default": ({}, 6),
        "karras": ({**SD, "use_karras_sigmas": True}, 7),
        "clipped": ({**OFFSET, "clip_sample": True}, 6),
        "v": ({**SD, **V, "timestep_spacing": "trailing"}, 5),
        "single": ({**SD, "timestep_spacing": "trailing"}, 1),
    },
    "DPMSolverMultistep": {
        "default": ({}, 8),
        "sd-karras": ({**SD, "use_karras_sigmas": True}, 10),
        "order-3": ({**SD, "solver_order": 3}, 9),
        "order-1": ({**OFFSET, "solver_order": 1}, 6),
        "order-3-long": ({**SD, **MIN, "solver_order": 3}, 15),
        "heun": ({**SD, "solver_type": "heun", **MIN,
                  "lower_order_final": False}, 8),
        "long": ({**SD, "timestep_spacing": "trailing"}, 16),
        "euler-at-final": ({**SD, "euler_at_final": True, **MIN}, 16),
        "lu": ({**SD, "use_lu_lambdas": True}, 7),
        "clipped-cosine": ({**COSINE, "lambda_min_clipped": -5.1}, 7),
        "zero-snr": ({**ZERO}, 6),
        "sde": ({**SD, "algorithm_type": "sde-dpmsolver++"}, 8),
        "sde-heun": ({**SD, "algorithm_type": "sde-dpmsolver++", "solver_type": "heun"}, 8),
        "sde-order-3": ({**SD, "algorithm_type": "sde-dpmsolver++", "solver_order": 3}, 8),
        "noise": ({**SD, "algorithm_type": "dpmsolver", **MIN,
                   "solver_order": 3}, 8),
        "noise-heun": ({**SD, "algorithm_type": "dpmsolver", **MIN,
                        "solver_type": "heun"}, 8),
        "flow": ({**FLOW, "flow_shift": 3.0}, 8),
        "thresholded": ({**SD, "thresholding": True, "sample_max_value": 1.5}, 8),
        "exponential": ({**SD, "use_exponential_sigmas": True}, 7),
    },
    "UniPCMultistep": {
        "default": ({}, 8),
        "order-3": ({**SD, "solver_order": 3}, 9),
        "bh1": ({**SD, **MIN, "solver_type": "bh1", "disable_corrector": [0, 2]}, 8),
        "bh1-order-3": ({**SD, **MIN, "solver_type": "bh1", "solver_order": 3}, 8),
        "karras": ({**SD, "use_karras_sigmas": True}, 8),
        "noise": ({**SD, "predict_x0": False, **MIN}, 8),
        "sigma-min": ({**OFFSET, **MIN, "lower_order_final": False}, 8),
        "zero-snr": ({**ZERO}, 6),
        "flow": ({**FLOW, "flow_shift": 5.0, "shift_terminal": 0.05}, 8),
    },
    "LMSDiscrete": {
        "default": ({}, 8),
        "karras": ({**SD, "use_karras_sigmas": True}, 9),
        "leading-v": ({**OFFSET, **V}, 7),
    },
    "LCM": {
        "default": ({}, 4),
        "clipped": ({"original_inference_steps": 40, "clip_sample": True, **V}, 6),
        "single": ({}, 1),
        "rough": ({"timestep_scaling": 0.001, "rescale_betas_zero_snr": True, **V}, 3),
    },
    "FlowMatchEulerDiscrete": {
        "default": ({}, 6),
        "sd3": ({"shift": 3.0}, 7),
        "flux": ({"shift": 3.0, "use_dynamic_shifting": True}, 6, {"maker": "FluxPipeline"}),
        "schnell": ({}, 4, {"maker": "FluxPipeline"}),
        "linear": ({"use_dynamic_shifting": True, "time_shift_type": "linear",
                    "base_image_seq_len": 16, "max_image_seq_len": 64}, 6),
        "terminal": ({"shift": 2.0, "shift_terminal": 0.1}, 6),
        "karras": ({"shift": 3.0, "use_karras_sigmas": True}, 6),
        "beta": ({"use_beta_sigmas": True}, 6),
        "noisy": ({"stochastic_sampling": True, "shift": 2.0}, 6),
    },
}  # fmt: skip

NAMES = [(kind, name) for kind, cases in CASES.items() for name in cases]

SHAPE = (2, 2, 4, 4)
TOKENS = 16


def config_of(kind, name):
    config, n, *more = CASES[kind][name]
    return {"_class_name": f"{kind}Scheduler", **config}, n, (more or [{}])[0]


def mixture(predicted):
    """The exact answer for data at -1 and 0.5 in each number, as a network that sees the index."""
    bar = torch.cumprod(1 - torch.linspace(0.03, 0.11, 1000).double() ** 2, 0).clamp(min=1e-3)

    def net(x, index):
        i = index.double().clamp(0, 998.999)
        low = i.long()
        a = torch.lerp(bar[low], bar[low + 1], i - low).reshape(-1, 1, 1, 1).to(x)
        alpha, sigma = a.sqrt(), (1 - a).sqrt()
        share = torch.sigmoid(1.5 * alpha * (x + 0.25 * alpha) / (sigma**2 + 0.01 * alpha**2))
        mean = 1.5 * share - 1
        gain = 0.01 * alpha / (0.01 * alpha**2 + sigma**2)
        x0 = mean + gain * (x - alpha * mean)
        eps = (x - alpha * x0) / sigma
        if predicted == "flow":
            return eps - x0
        return {"epsilon": eps, "sample": x0, "v_prediction": alpha * eps - sigma * x0}[predicted]

    return net


def tiny(channels):
    """A network with weights that are a function of nothing."""

    def weights(*shape):
        count = math.prod(shape)
        return torch.sin(torch.arange(count).float() * 1.7 + 0.3).reshape(shape)

    def net(x, index):
        told = torch.sin(index.float().reshape(-1, 1, 1, 1) / 90)
        h = torch.tanh(torch.nn.functional.conv2d(x, 0.4 * weights(6, 2, 3, 3), padding=1) + told)
        return torch.nn.functional.conv2d(h, 0.5 * weights(channels, 6, 1, 1)) + 0.3

    return net


class Net(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, t):
        return self.function(x, t)


def networks(kind, config):
    learned = config.get("variance_type") == "learned_range"
    flow = kind.startswith("Flow") or "use_flow_sigmas" in config
    exact = mixture("flow" if flow else config.get("prediction_type", "epsilon"))
    if learned:
        return [tiny(4)]
    return [exact, tiny(2)]


def ours(kind, name, net):
    config, n, more = config_of(kind, name)
    scheduled = read_scheduler(config, "here")
    learned = config.get("variance_type") == "learned_range"
    denoiser = Denoiser(
        Net(net), scheduled.schedule, scheduled.parameterization, clock=scheduled.clock,
        learn_variance=learned,
    )  # fmt: skip
    asked = {"schedule": scheduled.schedule, "n": n, "eta": more.get("eta", 0.0),
             "tokens": TOKENS, "maker": more.get("maker", ""), "learned": learned}  # fmt: skip
    sampler = published_sampler(config, asked, "here")
    model = Kept(denoiser.seeing(sampler.clock or denoiser.clock, None), sampler.range)
    noise = TorchSeeded(5, 2, [0, 1])
    sigma = float(scheduled.schedule(sampler.times[0])[1])
    x = noise(torch.zeros(SHAPE)) * (sigma if sampler.scale is None else sampler.scale)
    return sample(model, x, sampler.times, sampler.solver, noise)


def theirs(kind, name, net):
    diffusers = pytest.importorskip("diffusers")
    config, n, more = config_of(kind, name)
    cls = getattr(diffusers, config.pop("_class_name"))
    known = inspect.signature(cls.__init__).parameters
    scheduler = cls(**{k: v for k, v in config.items() if k in known})
    extra = {}
    if kind.startswith("Flow"):
        extra["mu"] = 0.5 + (TOKENS - 256) * 0.65 / (4096 - 256)
        if "base_image_seq_len" in config:
            extra["mu"] = 0.5 + (TOKENS - 16) * 0.65 / 48
        if not config.get("use_dynamic_shifting"):
            extra = {}
        if more.get("maker"):
            extra["sigmas"] = np.linspace(1.0, 1 / n, n)
    scheduler.set_timesteps(n, **extra)
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(SHAPE, generator=generator) * getattr(scheduler, "init_noise_sigma", 1.0)
    takes = inspect.signature(scheduler.step).parameters
    given = {"generator": generator} if "generator" in takes else {}
    if "eta" in more:
        given["eta"] = more["eta"]
    for t in scheduler.timesteps:
        scale = getattr(scheduler, "scale_model_input", lambda x, t: x)
        output = net(scale(x, t), t.float().expand(len(x)))
        x = scheduler.step(output, t, x, **given).prev_sample
    return x


def require_near(found, expected, kind, name):
    """Within 1e-5 of the standard deviation, where theirs is no coarser than that."""
    # At sigma = 4096 their states are rounded to 2.4e-4, a 60,000th of the next level.
    most = 1e-4 if kind.startswith("Euler") and "zero-snr" in name else 1e-5
    std = max(float(expected.std()), 0.5)
    assert float((found - expected).abs().max()) < most * std


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_the_end_is_as_recorded(kind, name):
    if "use_beta_sigmas" in CASES[kind][name][0]:
        pytest.importorskip("scipy")
    recorded = json.loads(GOLDEN.read_text())[f"{kind}/{name}"]
    for net, expected in zip(networks(kind, config_of(kind, name)[0]), recorded, strict=True):
        require_near(ours(kind, name, net).flatten()[::15], torch.tensor(expected), kind, name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_the_end_is_that_of_diffusers(kind, name):
    for net in networks(kind, config_of(kind, name)[0]):
        require_near(ours(kind, name, net), theirs(kind, name, net), kind, name)
