import pytest
import torch
from torch import nn

from demist.config import OptimizationConfig
from demist.networks import UNet
from demist.runs import Run
from demist.training import optimizer as optimizer_module
from demist.training.optimizer import Optimizer, hidden_matrices, orthogonal


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide, self.tall, self.same = nn.Linear(48, 32), nn.Linear(16, 64), nn.Linear(48, 32)
        self.conv, self.table = nn.Conv2d(24, 32, 3), nn.Embedding(20, 32)

    def set_gradients(self, seed=0):
        generator = torch.Generator().manual_seed(seed)
        for p in self.parameters():
            p.grad = torch.randn(p.shape, generator=generator) / (1 + p.shape[0])


def changes(net, optimizer, lr, steps=1, **how):
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for seed in range(steps):
        net.set_gradients(seed)
        optimizer.step(lr, **how)
    return {name: p.detach() - before[name] for name, p in net.named_parameters()}


def test_muon_turns_a_matrix_by_about_the_same_in_every_direction():
    net = Layers()
    optimizer = Optimizer(net, OptimizationConfig(muon_ratio=5.0))
    moved = changes(net, optimizer, 1e-3)
    for name in ("wide", "tall", "conv"):
        change, grad = moved[f"{name}.weight"].flatten(1), getattr(net, name).weight.grad.flatten(1)
        rows = max(change.shape)
        unit = 0.2 * rows**0.5 * 5e-3  # root mean square 0.2 per unit of learning rate, if square
        values = torch.linalg.svdvals(change) / unit
        assert float(values.min()) > 0.6, name
        assert float(values.max()) < 1.3, name
        assert float((change * grad).sum()) < 0
        u, _, v = torch.linalg.svd(grad, full_matrices=False)
        along = (u.T @ change @ v.T).diagonal() / -unit
        assert float(along.min()) > 0.6, "the directions are the gradient's"


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize("low", [True, False])
def test_muon_is_torchs(low):
    """Torch's computes in bf16 always, and so rounds even where ours does not."""
    net, options = Layers(), OptimizationConfig(muon_ratio=2.0, weight_decay=10.0)
    theirs = {name: nn.Parameter(getattr(net, name).weight.detach().flatten(1).clone())
              for name in ("wide", "tall", "same", "conv")}  # fmt: skip
    reference = torch.optim.Muon(
        theirs.values(), lr=2e-3, weight_decay=10.0, adjust_lr_fn="match_rms_adamw"
    )
    start = {name: p.detach().clone() for name, p in theirs.items()}
    moved = changes(net, Optimizer(net, options), 1e-3, steps=4, bf16=low)
    for seed in range(4):
        copy = Layers()
        copy.set_gradients(seed)
        for name, p in theirs.items():
            p.grad = getattr(copy, name).weight.grad.flatten(1)
        reference.step()
    for name, p in theirs.items():
        change = p.detach() - start[name]
        off = moved[f"{name}.weight"].flatten(1) - change
        same = low and name in ("wide", "same")  # the others are iterated on in another way
        assert float(off.norm() / change.norm()) < (1e-3 if same else 2e-2), name


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("shape", [(20, 30), (40, 16)])
def test_the_iteration_is_its_polynomial_of_the_singular_values(shape, dtype, error):
    x = torch.randn(3, *shape, dtype=torch.float64)
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    s = s / s.norm(dim=-1, keepdim=True)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    wanted = u @ torch.diag_embed(s) @ v
    found = orthogonal(7 * x.float(), dtype)
    assert found.dtype == dtype
    assert float((found.double() - wanted).norm() / wanted.norm()) < error
    torch.testing.assert_close(orthogonal(7 * x[:1].float(), dtype), found[:1])
    assert not orthogonal(torch.zeros(1, *shape), dtype).any()


@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-3), (torch.bfloat16, 0.7)])
@pytest.mark.parametrize("shape", [(64, 80), (64, 300)])
def test_rounding_grows_no_new_directions(shape, dtype, off):
    """The small singular values of a gradient of low rank grow 480-fold, and its rounding with
    them: what is new must stay below what was there."""
    torch.manual_seed(0)
    x = torch.randn(2, shape[0], 4) @ torch.randn(2, 4, shape[1]) + 1e-3 * torch.randn(2, *shape)
    exact, found = orthogonal(x, torch.float64), orthogonal(x, dtype).double()
    assert float((found - exact).norm() / exact.norm()) < off
    assert float(torch.linalg.svdvals(found).max()) < 1.4


def test_how_many_matrices_are_turned_together_changes_nothing(monkeypatch):
    torch.manual_seed(0)
    nets = [Layers() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    together, alone = (Optimizer(net, OptimizationConfig()) for net in nets)
    one = changes(nets[0], together, 1e-3, steps=2)
    monkeypatch.setattr(optimizer_module, "TOGETHER", 1)
    other = changes(nets[1], alone, 1e-3, steps=2)
    for name, change in one.items():
        torch.testing.assert_close(change, other[name])


def test_a_network_of_nothing_but_matrices_and_one_of_none():
    for net, moves in ((nn.Linear(16, 16, bias=False), "muon"), (nn.Linear(4, 4), "adamw")):
        before = [p.detach().clone() for p in net.parameters()]
        optimizer = Optimizer(net, OptimizationConfig())
        for p in net.parameters():
            p.grad = torch.randn_like(p)
        optimizer.step(1e-3)
        assert all((p != b).any() for p, b in zip(net.parameters(), before, strict=True)), moves


def test_the_rest_moves_by_adamw():
    net = Layers()
    optimizer = Optimizer(net, OptimizationConfig())
    moved = changes(net, optimizer, 1e-3)
    for name in ("table.weight", "wide.bias", "conv.bias"):
        assert moved[name].abs().sub(1e-3).abs().max() < 1e-5, name  # the first step's length is lr


def test_adamw_alone_is_torchs():
    ours, theirs = Layers(), Layers()
    theirs.load_state_dict(ours.state_dict())
    options = OptimizationConfig(optimizer="adamw", weight_decay=0.1)
    optimizer = Optimizer(ours, options)
    reference = torch.optim.AdamW(
        theirs.parameters(), lr=3e-3, betas=(options.beta1, options.beta2), weight_decay=0.1
    )
    for seed in range(3):
        ours.set_gradients(seed)
        theirs.set_gradients(seed)
        optimizer.step(3e-3)
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_its_tensors_are_live_and_there_before_the_first_step(kind):
    net = Layers()
    optimizer = Optimizer(net, OptimizationConfig(optimizer=kind))
    early = optimizer.tensors()
    net.set_gradients()
    optimizer.step(1e-3)
    late = optimizer.tensors()
    assert early.keys() == late.keys()
    assert all(early[name] is late[name] for name in early)
    assert all(float(value.abs().sum()) > 0 for value in late.values())
    averaged = {name: tuple(value.shape) for name, value in late.items() if "momentum" in name}
    assert averaged == {
        "wide.weight/momentum_buffer": (32, 48), "same.weight/momentum_buffer": (32, 48),
        "tall.weight/momentum_buffer": (64, 16), "conv.weight/momentum_buffer": (32, 216),
    } if kind == "muon" else not averaged  # fmt: skip


def test_what_muon_moves_in_a_unet():
    net = UNet(in_channels=1, channels=(32, 64), patch=2, num_classes=10)
    names = hidden_matrices(net)
    assert "mid_block.resnets.0.conv1.weight" in names
    assert "down_blocks.0.resnets.0.time_emb_proj.weight" in names
    assert "conv_out.weight" not in names  # 4 channels: it writes pixels
    assert "class_embedding.weight" not in names
    assert not any(name.endswith("bias") or "norm" in name for name in names)


def test_a_run_from_before_the_options_goes_on_as_it_was(tmp_path):
    (tmp_path / "config.toml").write_text("[optimization]\nlr = 1e-3\n")
    assert Run(tmp_path).config().optimization.optimizer == "adamw"
    assert Run(tmp_path).config().diffusion.clock == "log-snr"
    assert not Run(tmp_path).config().diffusion.bounded
    (tmp_path / "config.toml").write_text('[optimization]\noptimizer = "muon"\n')
    assert Run(tmp_path).config().optimization.optimizer == "muon"
