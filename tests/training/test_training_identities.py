"""Parts that change nothing where they have nothing to say, to the bit."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent))
from test_training_latents import _elsewhere, codec, coder, config  # noqa: F401
from tiny import CONFIG, one_thread, pictures  # noqa: F401

from demist.config import LimitsConfig, update
from demist.core import many
from demist.training.build import build
from demist.training.fit import fit

DATA = pictures(24, ("a", "b"))


def weights(experiment, batches):
    e, options = experiment, experiment.config.optimization
    for _ in fit(
        e.denoiser, batches, objective=e.objective, options=options, limits=LimitsConfig(steps=3)
    ):
        pass
    return e.denoiser.net.state_dict()


@pytest.mark.parametrize("draw", ["mean", "sampled"])
def test_kept_latents_teach_what_the_codec_itself_does(config, draw):  # noqa: F811
    given = update(config, {"latent_draw": draw})
    kept, fresh, drawn = (build(given, DATA) for _ in range(3))
    plain = replace(fresh.batches, x=DATA.x, mirrored=None, codec=fresh.pipeline.codec)
    found = weights(kept, kept.batches)
    again = weights(fresh, plain)
    assert all(torch.equal(found[name], value) for name, value in again.items())
    if draw == "sampled":  # and the noise of the latents does count
        other = weights(drawn, replace(drawn.batches, draws=False))
        assert any(not torch.equal(found[name], value) for name, value in other.items())


@pytest.mark.parametrize("network", ["unet", "dit"])
def test_what_is_always_dropped_is_not_there(network):
    """The output at a drop rate of 1 is the unconditional one, bit for bit, and it is learned."""
    sizes = {"width": 32, "depth": 1, "label_drop": 1.0, "network": network}
    e = build(update(CONFIG, sizes), DATA)
    for p in e.denoiser.parameters():
        p.data += 0.1 * torch.randn_like(p)
    batch, net = e.batches(0), e.denoiser.eval()
    shown = e.pipeline.conditioner
    t = torch.full((8,), 0.5)
    told = shown.encode(8, {"label": ["a", "b"] * 4})
    null = shown.encode(8, {})
    assert torch.equal(batch.cond["label"], null["label"])
    hidden = shown.drop(told, lambda name: torch.rand(8))
    x = batch.x0
    assert torch.equal(net(x, t, **hidden).x0, net(x, t, **null).x0)
    assert not torch.equal(net(x, t, **told).x0, net(x, t, **null).x0)


@pytest.mark.parametrize("network", ["unet", "dit"])
def test_branches_in_one_batch_are_those_of_calls_of_their_own(network):
    e = build(update(CONFIG, {"width": 32, "depth": 1, "network": network}), DATA)
    for p in e.denoiser.parameters():
        p.data += 0.1 * torch.randn_like(p)
    model, x, t = e.denoiser.eval(), e.batches(0).x0, torch.tensor(0.5)
    conds = [e.pipeline.conditioner.encode(8, {"label": value}) for value in ("a", "b", None)]
    with torch.inference_mode():
        together = many(model, x, t, conds)
        for one, cond in zip(together, conds, strict=True):
            # To rounding: kernels for more rows add in another order.
            torch.testing.assert_close(one.x0, model(x, t, **cond).x0, rtol=0, atol=2e-6)
    assert not torch.equal(together[0].x0, together[1].x0)
