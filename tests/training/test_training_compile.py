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
