"""`--compile` changes speed, not the names of tensors, and their values by rounding only."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from demist.machine.compiling import compile_network

# In a process of its own: torch cannot trace the checks of shapes that the tests put everywhere.
PROGRAM = """
import numpy as np, torch
from demist import Pipeline, TrainConfig, train, update
from demist.model import folder
from demist.runs import checkpoint

seen, real = [], torch._dynamo.lookup_backend
torch._dynamo.lookup_backend = lambda name: seen.append(name) or real(name)
torch.set_num_threads(1)
config = update(TrainConfig(), {
    "path": "eight", "runs": "runs", "width": 8, "depth": 1, "batch_size": 8, "steps": 4,
    "sample_count": 0, "decay": "constant",
})
def parts(run):
    return checkpoint.load_newest(run.checkpoints, print, repair=False).parts
def names(run):
    return {part: list(tensors) for part, tensors in parts(run).items()}

plain = train(config, quiet=True)
assert not seen
run = train(update(config, {"compile": True, "steps": 2}), quiet=True)
assert "aot_eager" in seen  # torch asks for "eager" by itself
assert run.config().optimization.compile
assert names(run) == names(plain)
train(config, run, resume=True, quiet=True)
assert not run.config().optimization.compile
for name, tensor in parts(run)["ema"].items():
    torch.testing.assert_close(tensor, parts(plain)["ema"][name], rtol=1e-3, atol=1e-5)

said = []
pipeline = Pipeline.load(run.model)
before, known, count = pipeline.sample(3, steps=2), list(pipeline.denoiser.state_dict()), len(seen)
compiled = pipeline.compile(said.append)
np.testing.assert_allclose(compiled.sample(3, steps=2), before, atol=1e-4)
assert len(seen) > count and not said
assert list(compiled.denoiser.state_dict()) == known
again = Pipeline.load(compiled.save("again"))
assert folder.weights_hash(again) == folder.weights_hash(pipeline)
print("all is well")
"""


GRAPHS = """
import sys
import numpy as np, torch
from demist import TrainConfig, update
from demist.data import Dataset
from demist.training.build import build
from demist.training.fit import fit

torch.set_num_threads(1)
options = eval(sys.argv[1])
x = np.random.default_rng(0).integers(0, 256, (64, 3, 16, 16)).astype(np.uint8)
words, classes = options.pop("text_length", None), tuple("0123456789")
if words:
    options["text_length"] = words
    data = Dataset(x, texts=("a red one",) * 64, name="x")
else:
    data = Dataset(x, labels=np.arange(64) % 10, classes=classes, name="x")
config = update(TrainConfig(), {
    "precision": "fp32", "steps": 1, "batch_size": 4, "channels": 3, "size": 16, **options,
})
made = build(config, data)
net, calls = made.pipeline.denoiser.net.train(), []
hook = net.register_forward_pre_hook(lambda _, *call: calls.append(call), with_kwargs=True)
for _ in fit(made.pipeline.denoiser, made.batches, objective=made.objective,
             options=made.config.optimization, limits=made.config.limits):
    pass
hook.remove()
(args, named), *_ = calls
found = torch._dynamo.explain(net.forward)(*args, **named)
print(found.graph_count, [reason.reason for reason in found.break_reasons])
"""
LED = """
import torch
from torch import nn
from demist.machine.compiling import compile_network
from demist.networks.attention import attend, controlled

class Attention(nn.Module):
    def forward(self, x):
        return attend(x, x, x)

net, x, said = Attention(), torch.randn(1, 1, 4, 8), []
before = net(x)
compile_network(net, said.append)
assert torch.equal(net(x), before)
with controlled(lambda mix, q, k, v, bias, words: 2 * mix(q, k, v, bias)):
    assert torch.equal(net(x), 2 * before)
assert torch.equal(net(x), before)
assert not said
print("all is well")
"""
SMALL = {"channels_per_level": (32, 64), "attention_levels": (1,)}


def run_python(tmp_path, monkeypatch, backend, *line):
    monkeypatch.setenv("DEMIST_COMPILE_BACKEND", backend)
    done = subprocess.run(
        [sys.executable, *line], cwd=tmp_path, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_compiled_and_not_are_the_same_model(tmp_path, monkeypatch):
    """Training goes on without what it began with; samples and names of tensors are the same."""
    done = run_python(tmp_path, monkeypatch, "aot_eager", "-c", PROGRAM)
    assert done.stdout == "all is well\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        SMALL,
        SMALL | {"cross_levels": (1,), "text_length": 8},
        SMALL | {"network": "sd", "cross_levels": (1,), "text_length": 8, "text_tower": "clip"},
        {"network": "dit", "width": 64, "depth": 2},
        {"network": "mmdit", "width": 64, "depth": 2, "text_length": 8},
    ],
)
def test_a_network_is_one_graph(tmp_path, monkeypatch, options):
    """What torch cannot trace would cut it into many, each as slow as without."""
    done = run_python(tmp_path, monkeypatch, "eager", "-c", GRAPHS, repr(options))
    assert done.stdout == "1 []\n"


@pytest.mark.slow
def test_a_compiled_network_is_still_led(tmp_path, monkeypatch):
    """Who controls attention is asked by networks that were compiled when nobody did, too."""
    done = run_python(tmp_path, monkeypatch, "eager", "-c", LED)
    assert done.stdout == "all is well\n"


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 5)

    def forward(self, x):
        return self.linear(x).sin()


def test_what_cannot_be_compiled_is_said_once_and_computed(monkeypatch):
    monkeypatch.setenv("DEMIST_COMPILE_BACKEND", "no_such_backend")
    net, said = Small(), []
    x = torch.randn(4, 3)
    expected = net(x)
    compile_network(net, said.append)
    assert torch.equal(net(x), expected)
    net(torch.randn(9, 3).requires_grad_()).sum().backward()
    assert net.linear.weight.grad is not None
    (message,) = said
    assert "cannot be compiled" in message
    assert message.endswith("going on without --compile")


def test_a_system_that_torch_cannot_compile_for(monkeypatch):
    def refuse(self, **options):
        raise RuntimeError("Dynamo is not supported here\nand more")

    monkeypatch.setattr(nn.Module, "compile", refuse)
    net, said = nn.Linear(2, 2), []
    compile_network(net, said.append)
    net(torch.ones(1, 2))
    assert said == [
        "the network cannot be compiled (Dynamo is not supported here); going on without --compile"
    ]


@pytest.mark.slow
def test_the_default_backend_from_the_command_line(tmp_path, monkeypatch):
    """With a C++ compiler this is inductor's code; without one, the sentence and the samples."""
    line = ["sample", "digits", "--n", "2", "--steps", "2", "--compile", "--arrays", "a.npy"]
    done = run_python(tmp_path, monkeypatch, "", "-m", "demist", *line)
    assert done.stdout == "samples.png\na.npy\n"
