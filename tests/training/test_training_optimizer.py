import pytest
import torch
from torch import nn

from demist.config import OptimizationConfig
from demist.networks import UNet
from demist.runs import Run
from demist.training.optimizer import Optimizer, hidden_matrices


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide, self.tall = nn.Linear(48, 32), nn.Linear(16, 64)
        self.conv, self.table = nn.Conv2d(24, 32, 3), nn.Embedding(20, 32)

    def set_gradients(self, seed=0):
        generator = torch.Generator().manual_seed(seed)
        for p in self.parameters():
            p.grad = torch.randn(p.shape, generator=generator) / (1 + p.shape[0])


def changes(net, optimizer, lr):
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer.step(lr)
    return {name: p.detach() - before[name] for name, p in net.named_parameters()}


def test_muon_turns_a_matrix_by_about_the_same_in_every_direction():
    net = Layers()
    net.set_gradients()
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


def test_the_rest_moves_by_adamw():
    net = Layers()
    net.set_gradients()
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
    assert any("momentum_buffer" in name for name in late) == (kind == "muon")


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
