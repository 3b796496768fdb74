import math
from dataclasses import replace

import pytest
import torch
from tiny import CONFIG, one_thread, pictures, points  # noqa: F401
from torch import nn

from demist.config import LimitsConfig, OptimizationConfig, update
from demist.errors import DataError, DemistError
from demist.machine.precision import resolve_precision
from demist.runs import checkpoint
from demist.runs.checkpoint import Checkpoint
from demist.training import optimizer
from demist.training.build import build
from demist.training.fit import fit, learning_rate, progress, start


def run(e, steps, state=None, **extra):
    options = e.config.optimization
    state = start(e.pipeline.denoiser, options) if state is None else state
    losses = [
        state.loss
        for state in fit(
            e.pipeline.denoiser,
            e.batches,
            objective=e.objective,
            options=options,
            limits=LimitsConfig(steps=steps),
            state=state,
            **extra,
        )
    ]
    return state, losses


def tensors(state):
    saved = state.checkpoint()
    return {f"{part} {k}": v.clone() for part, t in saved.parts.items() for k, v in t.items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}, {"decay": "cosine", "clip": 0.01}])
def test_resuming_is_exact(tmp_path, changes):
    """20 steps, and 10 + save + load in a new process's state + 10, to the last bit."""
    config = update(CONFIG, changes)
    limit = 20
    whole, losses = run(build(config, pictures()), limit)

    e = build(config, pictures())
    options = e.config.optimization
    state = start(e.pipeline.denoiser, options)
    steps = fit(
        e.pipeline.denoiser,
        e.batches,
        objective=e.objective,
        options=options,
        limits=LimitsConfig(steps=limit),
        state=state,
    )
    for state in steps:
        if state.step == 10:
            break
    path = checkpoint.save(tmp_path, state.checkpoint())
    torch.manual_seed(12345)

    e = build(config, pictures())
    state = start(e.pipeline.denoiser, e.config.optimization)
    with torch.no_grad():
        for p in e.pipeline.denoiser.parameters():
            p.normal_()
    state.restore(checkpoint.load(path))
    assert (state.step, state.images) == (10, 80)
    again, rest = run(e, limit, state)
    assert rest == losses[10:]
    assert_same(tensors(whole), tensors(again))
    assert whole.checkpoint().state["images"] == again.checkpoint().state["images"] == 160


def test_the_seed_decides_everything():
    a, losses = run(build(CONFIG, pictures()), 3)
    torch.manual_seed(99)
    b, same = run(build(CONFIG, pictures()), 3)
    assert losses == same
    assert_same(tensors(a), tensors(b))
    _, other = run(build(update(CONFIG, {"seed": 1}), pictures()), 3)
    assert other != losses


def test_dropout_is_on_whatever_mode_the_network_came_in():
    config = update(CONFIG, {"dropout": 0.5})
    e = build(config, pictures())
    e.pipeline.denoiser.eval()
    _, losses = run(e, 3)
    other = build(config, pictures())
    assert run(other, 3)[1] == losses
    assert run(build(update(config, {"dropout": 0.0}), pictures()), 3)[1] != losses


def test_building_leaves_torchs_generator_alone():
    torch.manual_seed(5)
    build(CONFIG, pictures())
    value = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(value, torch.rand(1))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_muon_computes_in_the_precision_of_the_run(monkeypatch, precision):
    seen, orthogonal = set(), optimizer.orthogonal
    monkeypatch.setattr(
        optimizer, "orthogonal", lambda x, dtype: seen.add(dtype) or orthogonal(x, dtype)
    )
    run(build(update(CONFIG, {"precision": precision}), pictures()), 1)
    assert seen == {{"fp32": torch.float32, "bf16": torch.bfloat16}[precision]}


def test_it_learns():
    config = update(CONFIG, {"lr": 3e-3, "dropout": 0.0, "batch_size": 16})
    _, losses = run(build(config, pictures()), 60)
    assert sum(losses[-10:]) < 0.75 * sum(losses[:10])


def test_one_update_is_adamws():
    """Against torch's AdamW by hand: learning rate, clipping and average."""
    config = update(CONFIG, {"clip": 0.5, "weight_decay": 0.1, "warmup": 4, "decay": "constant"})
    e = build(config, pictures())
    net = e.pipeline.denoiser.net
    before = {name: p.detach().clone() for name, p in net.named_parameters()}

    batch = e.batches(0)
    torch.manual_seed(batch.seed)
    e.objective(e.pipeline.denoiser.train(), batch).mean().backward()
    gradients = {name: p.grad.clone() for name, p in net.named_parameters()}
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients.values()))
    net.zero_grad()

    state, _ = run(e, 1)
    assert state.grad_norm == pytest.approx(norm, rel=1e-5)
    assert state.lr == config.optimization.lr / 4
    for name, p in net.named_parameters():
        g = gradients[name] * min(1, 0.5 / norm)
        # The first step of Adam: mean and square root cancel their bias corrections.
        step = g / (g.abs() + 1e-8)
        expected = before[name] * (1 - state.lr * 0.1) - state.lr * step
        torch.testing.assert_close(p.detach(), expected, rtol=1e-4, atol=1e-7)
        average = torch.lerp(before[name], p.detach(), 0.9)
        torch.testing.assert_close(state.ema.tensors[name], average)


class Broken:
    """Batches of which some hold a NaN."""

    def __init__(self, batches, bad):
        self.batches, self.bad = batches, bad

    def __call__(self, step):
        batch = self.batches(step)
        x0 = batch.x0.clone()
        if step in self.bad:
            x0[0, 0, 0, 0] = math.nan
        return replace(batch, x0=x0)


def test_a_broken_update_touches_nothing():
    e = build(CONFIG, pictures())
    e = replace(e, batches=Broken(e.batches, {2, 3}))
    state = start(e.pipeline.denoiser, e.config.optimization)
    update_average = state.ema.update
    state.ema.update = lambda n: (updates.append(n), update_average(n))
    seen, updates = [], []
    for state in fit(
        e.pipeline.denoiser,
        e.batches,
        objective=e.objective,
        options=e.config.optimization,
        limits=LimitsConfig(steps=6),
        state=state,
    ):
        seen.append(tensors(state))
    assert_same(seen[1], seen[2])
    assert_same(seen[1], seen[3])
    assert not torch.equal(seen[3]["ema conv_in.weight"], seen[4]["ema conv_in.weight"])
    assert (state.step, state.skipped) == (6, 2)
    assert updates == [1, 2, 3, 4]
    assert all(bool(v.isfinite().all()) for v in seen[-1].values())


def test_ten_broken_updates_stop():
    e = build(CONFIG, pictures())
    e = replace(e, batches=Broken(e.batches, {1, *range(3, 30)}))
    state = start(e.pipeline.denoiser, e.config.optimization)
    with pytest.raises(DemistError, match=r"10 of the last 12 steps \(1, 3, 4.* 11\).*--lr"):
        run(e, 40, state)
    assert (state.step, state.skipped) == (12, 10)


@pytest.mark.slow
def test_one_per_cent_of_broken_updates_stop_and_less_do_not(monkeypatch):
    monkeypatch.setattr("demist.training.fit.WINDOW", 30)
    monkeypatch.setattr("demist.training.fit.MAX_SKIPPED", 3)
    e = build(update(CONFIG, {"dropout": 0.0}), pictures())
    rare, often = {0, 10, 30, 41, 60, 71}, {0, 20, 29}
    state, _ = run(replace(e, batches=Broken(e.batches, rare)), 80)
    assert (state.skipped, state.skipped_steps) == (6, (60, 71))
    with pytest.raises(DemistError, match=r"3 of the last 30 steps \(0, 20, 29\)"):
        run(replace(e, batches=Broken(e.batches, often)), 80)


def test_what_was_skipped_is_remembered_by_a_checkpoint(tmp_path):
    e = build(CONFIG, pictures())
    e = replace(e, batches=Broken(e.batches, {1, 2}))
    state, _ = run(e, 4)
    again = start(e.pipeline.denoiser, e.config.optimization)
    again.restore(checkpoint.load(checkpoint.save(tmp_path, state.checkpoint())))
    assert (again.step, again.skipped, again.skipped_steps) == (4, 2, (1, 2))


def test_learning_rate_schedules():
    linear = OptimizationConfig(lr=0.5, warmup=4, decay="linear")
    assert [learning_rate(s, 0.0, linear) for s in range(6)] == [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    assert [learning_rate(9, p, linear) for p in (0, 0.25, 0.5, 1.0, 1.5)] == [
        0.5, 0.375, 0.25, 0.0, 0.0,
    ]  # fmt: skip
    cosine = replace(linear, decay="cosine", warmup=0)
    assert learning_rate(0, 0.0, cosine) == 0.5
    assert learning_rate(0, 1 / 3, cosine) == pytest.approx(0.375)
    assert learning_rate(0, 1.0, cosine) == 0.0
    constant = replace(linear, decay="constant", warmup=2)
    assert [learning_rate(s, 0.9, constant) for s in range(3)] == [0.25, 0.5, 0.5]


def test_progress_is_the_nearest_limit():
    state = start(build(CONFIG, pictures()).pipeline.denoiser, OptimizationConfig())
    state.step, state.images, state.seconds = 10, 40, 30.0
    assert progress(state, LimitsConfig(steps=100)) == 0.1
    assert progress(state, LimitsConfig(images=160)) == 0.25
    assert progress(state, LimitsConfig(budget="1m")) == 0.5
    assert progress(state, LimitsConfig(steps=100, images=160, budget="10m")) == 0.25
    assert progress(state, LimitsConfig()) == 0.05  # ten minutes


def test_budget_decays_to_zero_by_the_clock():
    e = build(update(CONFIG, {"warmup": 0}), pictures())
    ticks = iter(range(0, 1000, 2))
    rates = []
    for state in fit(
        e.pipeline.denoiser,
        e.batches,
        options=e.config.optimization,
        limits=LimitsConfig(budget="10s"),
        clock=lambda: float(next(ticks)),
    ):
        rates.append(state.lr)
    lr = e.config.optimization.lr
    assert rates == pytest.approx([lr, 0.8 * lr, 0.6 * lr, 0.4 * lr, 0.2 * lr])
    assert (state.seconds, state.progress) == (10.0, 1.0)
    # Resumed, the clock goes on from there: three more ticks of two seconds.
    more = fit(
        e.pipeline.denoiser,
        e.batches,
        options=e.config.optimization,
        limits=LimitsConfig(budget="16s"),
        state=state,
        clock=lambda: float(next(ticks)),
    )
    assert [state.seconds for state in more] == [12.0, 14.0, 16.0]


def test_limits_by_images():
    e = build(CONFIG, pictures())
    state = start(e.pipeline.denoiser, e.config.optimization)
    limits = LimitsConfig(images=20)
    list(
        fit(
            e.pipeline.denoiser,
            e.batches,
            options=e.config.optimization,
            limits=limits,
            state=state,
        )
    )
    assert (state.step, state.images) == (3, 24)
    assert list(fit(e.pipeline.denoiser, e.batches, limits=limits, state=state)) == []


def test_restoring_something_else_changes_nothing():
    e = build(CONFIG, pictures())
    state = start(e.pipeline.denoiser, e.config.optimization)
    before = tensors(state)
    good = state.checkpoint()
    parts = {part: dict(values) for part, values in good.parts.items()}
    parts["weights"] = {k: torch.ones_like(v) for k, v in parts["weights"].items()}
    parts["ema"]["conv_in.bias"] = torch.zeros(5)
    with pytest.raises(DataError, match=r"ema: conv_in.bias +\(8,\) +\(5,\)"):
        state.restore(Checkpoint(3, parts, {}))
    assert_same(before, tensors(state))
    assert state.step == 0


def test_points_too():
    config = update(CONFIG, {"width": 32, "depth": 1, "flip": False, "batch_size": 64, "lr": 1e-2})
    e = build(config, points())
    _, losses = run(e, 60)
    assert sum(losses[-10:]) < sum(losses[:10])
    assert e.config.optimization.precision == "fp32"


def test_precision_is_a_rule():
    assert resolve_precision("bf16", nn.Linear(1, 1)) == "bf16"
    assert resolve_precision("auto", nn.Linear(1, 1)) == "fp32"
    assert resolve_precision("auto", nn.Conv2d(1, 1, 1)) in ("fp32", "bf16")
