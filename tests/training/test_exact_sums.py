"""Where a CPU computes in bf16, another number of parts or processes changes rounding only."""

import pytest
import torch
import torch.nn.functional as F
from tiny import CONFIG, pictures
from torch import nn

from demist.config import update
from demist.training import exact_sums
from demist.training.build import build, choose_gradient
from demist.training.exact_sums import ExactSums, rows_of
from demist.training.fit import fit, start
from demist.training.gradient import full_batch
from demist.training.parallel import World

PLAIN = update(CONFIG, {"dropout": 0.0, "flip": False, "precision": "bf16", "sample_count": 0})


def weights(config, steps):
    config = update(config, {"steps": steps})
    e = build(config, pictures())
    how = choose_gradient(config.optimization, e.denoiser, World(), print)
    state = start(e.denoiser, config.optimization)
    list(
        fit(
            e.denoiser, e.batches, objective=e.objective, gradient=how,
            options=config.optimization, limits=config.limits, state=state,
        )
    )  # fmt: skip
    return torch.cat([p.detach().flatten() for p in e.denoiser.net.parameters()]).double()


def loss(*_):
    """An objective that nobody asks for."""
    raise AssertionError


def difference(a, b):
    return float((a - b).norm() / a.norm())


@pytest.mark.slow
def test_a_unet_under_muon_in_bf16_agrees_in_parts():
    """Two parts round as two processes do."""
    whole = weights(PLAIN, 12)
    assert PLAIN.optimization.exact_sums
    assert difference(whole, weights(update(PLAIN, {"micro_batches": 2}), 12)) < 1e-6
    before = update(PLAIN, {"exact_sums": False})
    apart = difference(weights(before, 12), weights(update(before, {"micro_batches": 2}), 12))
    assert apart > 1e-3  # what it was: the measure sees it


@pytest.mark.slow
def test_four_parts_are_what_four_processes_add_up():
    whole, four = weights(PLAIN, 6), weights(update(PLAIN, {"micro_batches": 4}), 6)
    assert difference(whole, four) < 1e-6


def test_fp32_is_as_it_was():
    config = update(PLAIN, {"precision": "fp32"})
    assert torch.equal(weights(config, 2), weights(update(config, {"exact_sums": False}), 2))


@pytest.mark.parametrize(("batch", "rows"), [(128, 32), (8, 2), (12, 3), (6, 3), (7, 7), (1, 1)])
def test_a_part_is_the_same_on_any_number_of_processes(batch, rows):
    assert rows_of(batch) == rows


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Linear(6, 5), torch.randn(8, 6)),
        (nn.Linear(6, 5, bias=False), torch.randn(8, 3, 6)),
        (nn.Conv2d(4, 6, 3, padding=1), torch.randn(8, 4, 5, 5)),
        (nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False), torch.randn(8, 4, 7, 5)),
    ],
    ids=["linear", "tokens", "convolution", "grouped"],
)
def test_values_and_gradients_are_those_of_autocast(layer, x):
    """The same bits forward and to what comes before; to weights, of less rounding."""
    found = {}
    for exact in (False, True):
        layer.zero_grad()
        inner = x.clone().requires_grad_()

        def work(*_, inner=inner):
            with torch.autocast("cpu", torch.bfloat16):
                y = layer(inner)
            y.float().pow(2).sum().backward()
            return y.detach(), len(inner)

        how = ExactSums(work, 2) if exact else work
        y, _ = how(layer, None, 0, loss, True)
        found[exact] = y, inner.grad, [p.grad.clone() for p in layer.parameters()]
    (y, before, rough), (y2, before2, fine) = found[False], found[True]
    assert torch.equal(y, y2)
    assert torch.equal(before, before2)
    for a, b in zip(rough, fine, strict=True):
        assert b.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=2e-2, atol=2e-2 * float(a.abs().max()))


def test_what_does_not_fit_is_left_to_torch(monkeypatch):
    """Other lengths than a multiple, too many parts, no autocast, weights that are not trained."""
    monkeypatch.setattr(exact_sums._Linear, "apply", pytest.fail)
    layer, frozen = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)

    def work(*_):
        with torch.autocast("cpu", torch.bfloat16):
            layer(torch.ones(3, 2))
            layer(torch.ones(2 * exact_sums.MOST + 2, 2))
            frozen(torch.ones(4, 2))
            with torch.no_grad():
                layer(torch.ones(4, 2))
            F.linear(torch.ones(4, 2), layer.weight.bfloat16())
        layer(torch.ones(4, 2))
        return torch.zeros(()), 1

    ExactSums(work, 2)(layer, None, 0, loss, True)


def test_compiled_networks_and_runs_of_the_past_are_computed_as_before():
    denoiser = build(PLAIN, pictures()).denoiser
    for changes in ({"exact_sums": False}, {"compile": True}):
        options = update(PLAIN, changes).optimization
        assert choose_gradient(options, denoiser, World(), print) is full_batch
