"""Little memory: networks that take turns on a device, samples one by one, images in tiles."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from demist import Pipeline
from demist.cli import main
from demist.codecs import KLAutoencoder
from demist.conditions import Conditioner, TextEncoder
from demist.core import Denoiser, Eps, Linear
from demist.interop import Reading
from demist.machine.offload import Turns, bring, moved, turns_on
from demist.model.open import open_model
from demist.model.placing import thrifty
from demist.networks import Autoencoder, UNet

DEVICE = torch.device("cpu", 0)
"""A device of another name than "cpu", where the same numbers come out."""


class Part(nn.Linear):
    """Remembers where it was sent."""

    def __init__(self, name, log):
        super().__init__(2, 2)
        self.name, self.log = name, log

    def to(self, device):
        self.log.append((self.name, str(device)))
        return super().to(device)


def test_one_part_is_on_the_device_at_a_time():
    log, turns = [], Turns(DEVICE)
    a, b = Part("a", log), Part("b", log)
    expected = a(torch.ones(1, 2))
    for part in (a, b, a):  # the last time, nothing is added
        turns.add(part)
    assert log == [("a", "cpu"), ("b", "cpu"), ("a", "cpu")]
    log.clear()
    with torch.inference_mode():
        for part in (a, a, b, a):
            part(torch.ones(1, 2))
    assert log == [("a", "cpu:0"), ("a", "cpu"), ("b", "cpu:0"), ("b", "cpu"), ("a", "cpu:0")]
    assert turns.there is a
    assert torch.equal(a(torch.ones(1, 2)), expected)
    assert not a.weight.is_inference()
    assert bring(b)
    assert turns.there is b
    assert not bring(nn.Linear(1, 1))
    other = copy.deepcopy(a)
    other(torch.ones(1, 2))
    assert turns.there is other
    del other
    assert turns.there is None  # who is gone holds no place


def test_results_come_back_to_where_the_arguments_were():
    """The device is one without numbers, so that what was on it can be told."""
    seen = {}

    class Net(nn.Module):
        def forward(self, x, more):
            seen.update(x=x.device.type, inner=more["a"][0].device.type)
            return {"y": x}

    turns, net = Turns(torch.device("meta")), Net()
    turns.add(net)
    found = net(torch.ones(2, device="meta"), more={"a": [torch.ones(1)], "b": "word"})
    assert seen == {"x": "meta", "inner": "meta"}
    assert found["y"].device.type == "meta"
    with pytest.raises(NotImplementedError):  # from meta nothing comes back to the CPU
        net(torch.ones(2), more={"a": [torch.ones(1)]})
    assert moved((1, "a", None), torch.device("meta")) == (1, "a", None)


def latents(log):
    torch.manual_seed(0)
    net = UNet(in_channels=2, channels=[8], attention=[], mid_attention=False)
    codec = Autoencoder(in_channels=1, latent_channels=2, channels=[4, 8])
    for part in (net, codec):
        for p in part.parameters():
            p.data.add_(0.05 * torch.randn_like(p))
    for name, part in (("network", net), ("autoencoder", codec)):
        to = part.to
        part.to = lambda where, name=name, to=to: log.append((name, str(where))) or to(where)
    return Pipeline(
        Denoiser(net, Linear(), Eps()), KLAutoencoder(codec), Conditioner(), (1, 16, 16)
    )


def test_an_offloaded_model_makes_the_same_samples():
    log = []
    pipeline = latents(log)
    expected = pipeline.sample(3, steps=3, batch_size=2)
    log.clear()
    assert pipeline.offload(DEVICE) is pipeline
    start = np.zeros((1, 1, 16, 16), np.uint8)
    np.testing.assert_array_equal(pipeline.sample(3, steps=3, batch_size=2), expected)
    assert log == [
        ("network", "cpu"), ("autoencoder", "cpu"),
        ("network", "cpu:0"), ("network", "cpu"), ("autoencoder", "cpu:0"),
    ]  # fmt: skip
    log.clear()
    pipeline.sample(1, steps=3, start=0.5, init=start)
    assert [row for row in log if row[1] == "cpu:0"] == [
        ("network", "cpu:0"), ("autoencoder", "cpu:0"),
    ]  # fmt: skip


class Encoder(nn.Module):
    def __init__(self, log):
        super().__init__()
        self.log, self.table = log, nn.Embedding(9, 3)

    def to(self, device):
        self.log.append(str(device))
        return super().to(device)

    def forward(self, ids, attention_mask, output_hidden_states):
        assert output_hidden_states
        return {"last": self.table(ids), "mask": attention_mask}


def test_a_text_encoder_runs_where_it_is_sent():
    log = []
    made = TextEncoder("e", "here", lambda: Encoder(log), lambda: None, 4)
    made.to(DEVICE)
    assert not made.opened
    assert not log
    found = made.run(torch.tensor([[1, 2]]), torch.ones(1, 2))
    assert log == ["cpu:0"]
    assert found["last"].shape == (1, 2, 3)
    assert not found["last"].requires_grad
    log.clear()
    made.to(DEVICE, turns=True)
    other = made.changed(copy.deepcopy)
    for encoder in (made, other, made):
        assert torch.equal(encoder.run(torch.tensor([[1, 2]]))["last"], found["last"])
    assert log.count("cpu:0") == 2  # the copy has its own list
    assert turns_on(DEVICE).there is made.model


def test_one_sample_at_a_time_is_the_same_to_rounding():
    seen = []

    class Net(nn.Module):
        def forward(self, x, t, *, text, pair):
            seen.append((len(x), len(t), len(text["a"]), len(pair[0]), len(pair[1])))
            return x * text["a"].reshape(-1, 1) + t[:, None] + pair[0] + pair[1].sum()

    denoiser = Denoiser(Net(), Linear(), Eps())
    x, t = torch.randn(5, 2), torch.tensor(0.5)
    cond = {"text": {"a": torch.randn(5, 1)}, "pair": (torch.randn(5, 2), torch.randn(3))}
    whole = denoiser(x, t, **cond)
    denoiser.at_once = 2
    torch.testing.assert_close(denoiser(x, t, **cond).eps, whole.eps)
    assert seen == [(5, 5, 5, 5, 3), *[(2, 2, 2, 2, 3)] * 2, (1, 1, 1, 1, 3)]


def test_the_flags(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pipeline = latents([])
    assert thrifty(pipeline, Reading()) is pipeline
    made = thrifty(pipeline, Reading(tile=True, slice=True))
    assert made.codec.tile == 512
    assert made.codec.net is pipeline.codec.net
    assert made.denoiser.at_once == 1
    with pytest.warns(UserWarning, match="this model has none"):
        assert open_model("digits", reading=Reading(tile=True)).bucket == 8
    with pytest.warns(UserWarning, match="nothing is offloaded"):
        open_model("digits", device="cpu", reading=Reading(offload=True))
    assert main(["sample", "digits", "--n", "2", "--steps", "2", "--slice", "--device", "cpu"]) == 0
