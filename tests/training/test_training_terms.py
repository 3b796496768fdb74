"""The further terms of an autoencoder's loss, and what is trained along with it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training_run import assert_same_weights, interrupt_after
from tiny import CONFIG, one_thread, pictures  # noqa: F401
from torch import nn

from demist import runs
from demist.codecs import Pixels, VectorQuantised
from demist.config import LimitsConfig, TrainConfig, update
from demist.errors import DataError, MissingError, RefusedError, UsageError
from demist.io.tensors import write_tensors
from demist.model.learned_codec import LearnedCodec
from demist.networks import Autoencoder, Discriminator
from demist.networks.published.vq_model import VQModel, VQModelConfig
from demist.objectives.adversarial import critic_loss, fooling_loss
from demist.objectives.perceptual import lpips
from demist.training.batches import Batches
from demist.training.fit import fit, start
from demist.training.gradient import MicroBatched, full_batch
from demist.training.joint import report
from demist.training.latents import latents
from demist.training.optimizer import Optimizer
from demist.training.parallel import ALONE
from demist.training.rebuilding import Rebuilding, last_layer, require_losses, with_terms
from demist.training.run import train
from demist.training.streams import Streams
from demist.training.terms import Adversarial, Error, Perceptual, Rebuilt
from demist.training.terms.perceptual import read_lpips

DATA = pictures(24, ("a", "b"))
BASE = update(
    CONFIG, {"network": "autoencoder", "downsample": 2, "dropout": 0.0, "linear_start": False}
)
VQ = {"codec": "vq", "codebook": 20}
CRITIC = {"adversarial": 0.5, "adversarial_start": 0.5}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))


def network(options):
    torch.manual_seed(0)
    if "codec" not in options:
        return Autoencoder(in_channels=1, latent_channels=3, channels=(8,), patch=2, norm_groups=2)
    return VQModel(
        VQModelConfig(
            in_channels=1,
            out_channels=1,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(4, 8),
            latent_channels=3,
            num_vq_embeddings=options["codebook"],
            norm_num_groups=2,
        )
    )


def training(options):
    """The joint module, its batches and its objective."""
    config, streams = update(BASE, options), Streams.of(0, len(DATA), 8, ALONE)
    joint = with_terms(network(options), config, DATA, streams, ALONE)
    assert joint is not None
    return joint, Batches(DATA.x, streams, Pixels(), flip=True), joint.objective((3, 4, 4), 8)


def trained(options, steps=4, gradient=full_batch, state=None, made=None):
    joint, batches, objective = made or training(options)
    limits, config = LimitsConfig(steps=steps), update(BASE, options)
    for state in fit(
        joint, batches, objective=objective, options=config.optimization, limits=limits,
        gradient=gradient, state=state,
    ):  # fmt: skip
        pass
    return state, joint


def test_what_is_reported_is_a_gradient_and_no_loss():
    p, value = nn.Parameter(torch.zeros(3)), torch.tensor([1.0, -2.0, 3.0])
    told = report(p, value)
    told.backward()
    assert told.item() == 0
    assert torch.equal(p.grad, value)


def test_the_plain_loss_needs_nothing_else():
    net = network({})
    streams = Streams.of(0, len(DATA), 8, ALONE)
    assert with_terms(net, BASE, DATA, streams, ALONE) is None


@pytest.mark.parametrize("options", [VQ, VQ | CRITIC, CRITIC], ids=["vq", "vq-critic", "critic"])
def test_parts_of_a_batch_teach_what_the_whole_does(options):
    _, whole = trained(options)
    _, parts = trained(options, gradient=MicroBatched(4))
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, parts.state_dict()[name], atol=2e-4), name


@pytest.mark.parametrize("options", [VQ | CRITIC, CRITIC], ids=["vq-critic", "critic"])
def test_a_resumed_training_is_an_uninterrupted_one(options):
    """Stopped in step 2 of 6, before the critic begins, and in step 4, after that."""
    made = training(options)
    fits = fit(
        made[0], made[1], objective=made[2], options=update(BASE, options).optimization,
        limits=LimitsConfig(steps=6),
    )  # fmt: skip
    kept = {}
    for state in fits:
        found = state.checkpoint()
        kept[state.step] = replace(
            found,
            parts={p: {k: v.clone() for k, v in t.items()} for p, t in found.parts.items()},
        )
    for step in (2, 4):
        again = training(options)
        state = start(again[0], update(BASE, options).optimization)
        state.restore(kept[step])
        state, _ = trained(options, 6, state=state, made=again)
        for part, tensors in state.checkpoint().parts.items():
            for name, value in tensors.items():
                assert torch.equal(value, kept[6].parts[part][name]), (step, part, name)


def test_only_the_autoencoder_is_averaged_and_reports_move_nothing():
    state, joint = trained(VQ | CRITIC)
    assert state.ema.tensors.keys() == joint.autoencoder.state_dict().keys()
    codes = joint.autoencoder.quantize.embedding.weight
    assert torch.equal(state.ema.tensors["quantize.embedding.weight"], codes)
    assert torch.equal(codes, joint.codebook.sums / joint.codebook.counts[:, None])
    assert all(not joint.get_parameter(name).any() for name in joint.reported)
    assert not [n for n in state.optimizer.tensors() if n.rsplit("/", 1)[0] in joint.reported]


def test_the_log_has_every_term_and_how_the_codes_are_used():
    state, joint = trained(VQ | CRITIC, steps=1)
    found = joint.metrics()
    assert found.keys() == {
        "error", "commitment", "adversarial", "critic", "perplexity", "codes_used"
    }  # fmt: skip
    assert found["error"] + found["commitment"] == pytest.approx(state.loss, rel=1e-5)
    assert 1 <= found["perplexity"] <= found["codes_used"] <= 20
    assert joint.metrics() == {}


def test_the_gradient_passes_the_codebook_as_if_it_were_not_there():
    joint, batches, objective = training(VQ)
    net, batch = joint.autoencoder, batches(0)
    joint.terms["commitment"].weight = 0.0
    objective(joint, batch).mean().backward()
    z = net.encode(batch.x0)[0]
    codes = net.quantize(z).detach().requires_grad_()
    error = (net.paint(codes) - batch.x0).square().mean()
    (slope,) = torch.autograd.grad(error, codes)
    wanted = torch.autograd.grad(z, net.quant_conv.weight, slope)[0]
    assert torch.allclose(net.quant_conv.weight.grad, wanted, rtol=1e-4, atol=1e-7)


class Linear(nn.Module):
    """A critic with one score: the scalar product with its weights."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return x.flatten(1) @ self.weight[:, None]


def seen(last, factor, x, progress):
    """What a term sees of a decoder with one layer, `factor * last`."""
    rebuilt = factor * last
    error = (rebuilt - x).square().flatten(1).mean(1)
    return Rebuilt(x, rebuilt, x, x, None, error, last, progress)


def test_the_critics_gradient_by_hand():
    torch.manual_seed(0)
    w, x = 0.1 * torch.randn(4), torch.randn(3, 1, 2, 2)
    term = Adversarial(Linear(w.clone()), torch.zeros(1, 4), 0.5, 0.0)
    last = torch.randn(1, 4, requires_grad=True)
    factor = torch.randn(3, 1)
    it = seen(last, factor, x.reshape(3, 4), 0.5)
    asked, loss = term(it)
    (asked.mean() + loss.mean()).backward()
    real, fake = x.reshape(3, 4), it.rebuilt.detach()
    by_hand = torch.zeros(4)
    for r, f in zip(real, fake, strict=True):
        by_hand += ((f if f @ w > -1 else 0 * f) - (r if r @ w < 1 else 0 * r)) / 2 / 3
    assert torch.allclose(term.critic.weight.grad, by_hand, atol=1e-6)


def test_the_ratio_is_that_of_the_gradients_of_the_batch_before():
    torch.manual_seed(0)
    w, x, factor = torch.randn(4), torch.randn(3, 4), torch.randn(3, 1)
    term = Adversarial(Linear(w), torch.zeros(1, 4), 0.5, 0.0)
    last = torch.randn(1, 4, requires_grad=True)
    it = seen(last, factor, x, 0.5)
    asked, loss = term(it)
    assert not asked.any()  # no ratio is known yet
    (asked.mean() + loss.mean()).backward(retain_graph=True)
    assert not last.grad.any()
    (a,) = torch.autograd.grad(it.reconstruction.mean(), last, retain_graph=True)
    (b,) = torch.autograd.grad(
        fooling_loss(it.rebuilt @ w[:, None]).mean(), last, retain_graph=True
    )
    term.settle(True)
    assert term.ratio.item() == pytest.approx(float(a.norm() / (b.norm() + 1e-6)), rel=1e-5)
    # And with it the autoencoder is asked for what it says.
    asked, _ = term(it)
    (found,) = torch.autograd.grad(asked.mean(), last)
    assert torch.allclose(found, 0.5 * term.ratio * b, rtol=1e-4)
    assert torch.allclose(asked, 0.5 * term.ratio * -(it.rebuilt.detach() @ w), rtol=1e-4)


def test_the_ratio_holds_what_is_steady_of_likeness_against_the_most_of_the_critic():
    """lambda falls at once where the critic's gradient grows, and rises slowly where it falls."""
    term = Adversarial(Linear(torch.zeros(4)), torch.zeros(1, 4), 0.5, 0.0)

    def after(likeness, critic):
        term.slopes.grad = torch.tensor([[likeness, 0, 0, 0], [0, critic, 0, 0]])
        term.settle(True)
        return float(term.ratio)

    assert after(1.0, 1.0) == pytest.approx(1.0, rel=1e-4)
    assert after(1.0, 100.0) == pytest.approx(0.01, rel=1e-4)
    mean = 0.95 * (0.95 * 1 + 0.05 * 100) + 0.05 * 1
    assert after(1.0, 1.0) == pytest.approx(1 / mean, rel=1e-4)
    term.slopes.grad = torch.ones(2, 4)
    term.settle(False)  # a step that was skipped teaches nothing
    assert float(term.ratio) == pytest.approx(1 / mean, rel=1e-4)
    # What changes its sign from batch to batch is noise, and asks for little.
    noisy = [after((-1.0) ** step, 1.0) for step in range(300)]
    assert max(noisy[-50:]) < 0.03


def test_the_weight_grows_after_the_start_and_the_critic_learns_slowly():
    torch.manual_seed(0)
    term = Adversarial(Linear(torch.randn(4)), torch.zeros(1, 4), 0.5, 0.5)
    term.ratio.fill_(2.0)
    last, factor, x = torch.randn(1, 4, requires_grad=True), torch.randn(3, 1), torch.randn(3, 4)
    asked = [term(seen(last, factor, x, at))[0] for at in (0.5, 0.55, 0.6, 0.9)]
    assert not asked[0].any()
    torch.testing.assert_close(2 * asked[1], asked[2])
    torch.testing.assert_close(asked[2], asked[3])
    rates = Optimizer(training(CRITIC)[0], BASE.optimization)._rates
    slow = {name for name, rate in rates.items() if rate < 1}
    assert slow == {name for name in rates if "critic" in name}
    assert slow


def test_before_its_start_the_critic_adds_nothing():
    torch.manual_seed(0)
    term = Adversarial(Linear(torch.randn(4)), torch.zeros(1, 4), 1.0, 0.5)
    term.ratio.fill_(3.0)
    last = torch.randn(1, 4, requires_grad=True)
    numbers = term(seen(last, torch.randn(3, 1), torch.randn(3, 4), 0.49))
    assert not torch.stack(numbers).any()
    sum(n.mean() for n in numbers).backward()
    assert last.grad is None
    assert not term.critic.weight.grad.any()  # zeros, for which other processes wait
    term.settle(True)
    assert term.ratio == 3.0


def test_a_critic_that_waits_changes_no_weight_of_the_autoencoder():
    plain, late = ({"perceptual": 0.1, "perceptual_features": "judge"} | o for o in ({}, CRITIC))
    late["adversarial_start"] = 1.0
    one, other = trained(plain, steps=3)[1], trained(late, steps=3)[1]
    for name, value in one.autoencoder.state_dict().items():
        assert torch.allclose(value, other.autoencoder.state_dict()[name], atol=1e-6), name
    early = trained(late | {"adversarial_start": 0.0}, steps=3)[1]
    weight = early.autoencoder.decoder[-1].weight
    assert not torch.allclose(weight, one.autoencoder.decoder[-1].weight, atol=1e-5)


def test_hinge_losses_by_hand():
    real, fake = torch.tensor([[2.0, 0.5]]), torch.tensor([[-2.0, 0.25]])
    assert critic_loss(real, fake).item() == (0 + 0.5 + 0 + 1.25) / 2 / 2
    assert fooling_loss(fake).item() == (2.0 - 0.25) / 2


def test_a_judge_sees_no_distance_of_an_image_to_itself():
    joint, batches, _ = training({"perceptual": 0.1, "perceptual_features": "judge"})
    term, x = joint.terms["perceptual"], batches(0).x0
    assert isinstance(term, Perceptual)
    assert not term.distance(x, x).any()
    far = term.distance(x, x.flip(0))
    assert far.shape == (8,)
    assert far[0] == pytest.approx(float(term.distance(x[:1], x[7:])), rel=1e-4)
    assert "feature distance of the judge" in joint.notes[0]
    assert "LPIPS" not in joint.notes[0]
    assert len(joint.facts["perceptual"]) == 64
    assert not [name for name in joint.state_dict() if "perceptual" in name]  # it is frozen


def weights_of(path, blocks, broken=()):
    """A file of the form that LPIPS takes, with random weights; `broken` are left out."""
    torch.manual_seed(0)
    tensors, here, at = {}, 3, 0
    for k, (wide, count) in enumerate(blocks):
        for _ in range(count):
            tensors[f"features.{at}.weight"] = torch.randn(wide, here, 3, 3)
            tensors[f"features.{at}.bias"] = torch.randn(wide)
            here, at = wide, at + 2
        tensors[f"lin{k}.model.1.weight"] = torch.rand(1, wide, 1, 1)
        at += 1
    write_tensors(path, {k: v for k, v in tensors.items() if k not in broken})
    return tensors


def test_lpips_of_a_file_by_hand(tmp_path):
    path, blocks = tmp_path / "lpips.safetensors", ((2, 1), (3, 2))
    raw = weights_of(path, blocks)
    net, weights = read_lpips(path, blocks)
    x, y = torch.rand(2, 3, 8, 8) * 2 - 1, torch.rand(2, 3, 8, 8) * 2 - 1

    def layers(x):
        shift = torch.tensor([-0.030, -0.088, -0.188]).reshape(3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450]).reshape(3, 1, 1)

        def conv(x, i):
            w, b = raw[f"features.{i}.weight"], raw[f"features.{i}.bias"]
            return torch.relu(nn.functional.conv2d(x, w, b, padding=1))

        one = conv((x - shift) / scale, 0)
        return one, conv(conv(nn.functional.max_pool2d(one, 2), 3), 5)

    total = torch.zeros(2)
    for k, (a, b) in enumerate(zip(layers(x), layers(y), strict=True)):
        a, b = (m / m.norm(dim=1, keepdim=True).clamp(min=1e-10) for m in (a, b))
        w = raw[f"lin{k}.model.1.weight"][0]
        total += ((a - b) ** 2 * w).sum(1).mean((1, 2))
    assert torch.allclose(lpips(net(x), net(y), weights), total, rtol=1e-4)


def test_a_file_of_another_form_is_refused(tmp_path):
    path, blocks = tmp_path / "lpips.safetensors", ((2, 1), (3, 2))
    weights_of(path, blocks, broken=("lin1.model.1.weight",))
    with pytest.raises(DataError, match=r"lin1 of shape \(3,\) is missing"):
        read_lpips(path, blocks)
    weights_of(path, blocks)
    with pytest.raises(DataError, match=r"features.0.weight of shape \(64, 3, 3, 3\) has"):
        read_lpips(path)
    with pytest.raises(MissingError):
        read_lpips(tmp_path / "nothing.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises((DataError, RefusedError)):
        read_lpips(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perceptual": 0.1}, "needs features: --perceptual-features judge"),
        (VQ | {"compile": True}, "not compiled; leave it out"),
    ],
    ids=["features", "compile"],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        training(options)


def test_more_codes_than_latents_are_refused_before_a_run_is_made():
    joint, _, _ = training(VQ | {"codebook": 384})
    joint.require()
    joint, _, _ = training(VQ | {"codebook": 385})
    with pytest.raises(UsageError, match="the data has 384 latents, fewer than codes"):
        joint.require()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codebook": 64}, "codebook = 64 says nothing without --codec vq"),
        ({"perceptual_features": "judge"}, "says nothing without a weight, as --perceptual 0.1"),
        ({"adversarial_start": 0.1}, "says nothing without a weight, as --adversarial 0.5"),
    ],
    ids=["codebook", "features", "start"],
)
def test_options_that_say_nothing_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        require_losses(update(TrainConfig(), {"network": "autoencoder", **options}))


def test_the_last_layer_writes_pixels():
    net = network(VQ)
    assert last_layer(net) is net.decoder.conv_out.weight
    own = network({})
    assert last_layer(own) is own.decoder[-1].weight


def test_a_term_of_ones_own_is_one_class():
    class Darkness(Error):
        name = "darkness"
        logged = ("darkness",)

        def forward(self, seen):
            return (seen.rebuilt.flatten(1).mean(1),)

    joint = Rebuilding(network({}), [Error("l2"), Darkness("l2")])
    x = torch.rand(2, 1, 8, 8)
    loss = joint(x, torch.zeros(2, 3, 4, 4), range(2), 2)
    rebuilt = joint.autoencoder(x)[0]
    wanted = (rebuilt - x).square().flatten(1).mean(1) + rebuilt.flatten(1).mean(1)
    assert torch.allclose(loss, wanted)
    assert np.isfinite(Discriminator.of((1, 8, 8))(x).detach().numpy()).all()


def test_a_codebook_is_trained_into_a_run_like_every_autoencoder(tmp_path):
    """Also stopped and resumed; the codec quantises where it decodes, and others learn in it."""
    config = update(
        BASE, {"runs": str(tmp_path), "name": "book", "log_every": "2", **VQ, **CRITIC, "steps": 4}
    )
    run = train(config, data=DATA, quiet=True)
    made = LearnedCodec.load(run.model)
    codec = made.codec
    assert isinstance(codec, VectorQuantised)
    x = torch.from_numpy(DATA.x)
    z = codec.latents(x)
    codes = codec.codes(x)
    net = codec.components["autoencoder"]
    book = net.quantize.embedding.weight
    flat = z.permute(0, 2, 3, 1).reshape(-1, 1, book.shape[1])
    assert torch.equal(codes.flatten(), (flat - book).square().sum(2).argmin(1))
    painted = net.paint(book[codes].permute(0, 3, 1, 2).contiguous())
    assert (
        codec.decode(codec.encode(x)).int() - codec.pixels.decode(painted).int()
    ).abs().max() <= 1
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary["codes_used"] == len(codes.unique())
    rows = runs.read_metrics(run.metrics)
    assert {"error", "commitment", "critic", "perplexity", "codes_used"} <= rows[-1].keys()
    kept = latents(codec, DATA, flip=False)
    assert torch.allclose(torch.from_numpy(np.array(kept.x)), z, atol=1e-5)


def test_a_run_with_a_codebook_goes_on_bit_for_bit(tmp_path, monkeypatch):
    config = update(BASE, {"runs": str(tmp_path), **VQ, **CRITIC, "steps": 4})
    whole = train(config, data=DATA, quiet=True)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        half = train(config, data=DATA, quiet=True)
    assert half.status()["step"] == 3
    train(config, half, resume=True, data=DATA, quiet=True)
    assert_same_weights(whole, half)
