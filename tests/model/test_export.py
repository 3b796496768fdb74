"""An exported denoiser answers as the network does, and its page's sampler samples as demist."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from demist.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
ONNX, TORCH, SAMPLER = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)

# In a process of its own: torch cannot trace the checks of shapes that the tests put everywhere.
PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np, torch
from demist.config import TrainConfig, update
from demist.data import Dataset
from demist.errors import CannotCreateError
from demist.model.export import export
from demist.training.build import build

kind = sys.argv[1]
torch.manual_seed(0)
x = np.random.default_rng(0).integers(0, 255, (50, 1, 8, 8)).astype(np.uint8)
digits = tuple(map(str, range(10)))
tiny = {"channels_per_level": (8,), "norm_groups": 2, "mid_attention": False, "device": "cpu"}
tiny |= {"batch_size": 8, "precision": "fp32", "width": 16, "depth": 2}

def pipeline_of(data, **options):
    made = build(update(TrainConfig(), {**tiny, **options}), data).pipeline
    for p in made.denoiser.net.parameters():  # the last layer begins at zero
        torch.nn.init.normal_(p, std=0.2)
    return made

def check(pipeline, folder, cond):
    made = export(pipeline, Path(folder), kind)
    assert json.loads(Path(folder, "denoiser.json").read_text()) == made
    assert made["error"] is None or made["error"] <= 1e-5, made["error"]
    n = 5
    state = torch.randn(n, *pipeline.state_shape)
    t = torch.linspace(0.01, 0.99, n)
    with torch.no_grad():
        expected = pipeline.denoiser(state, t, **cond)
    if kind == "onnx":
        import onnxruntime
        session = onnxruntime.InferenceSession(f"{folder}/{made['file']}")
        found = session.run(["x0", "eps"], {
            "x": state.numpy(), "t": t.numpy(), **{k: v.numpy() for k, v in cond.items()}
        })
    else:
        program = torch.export.load(f"{folder}/{made['file']}").module()
        found = [v.detach().numpy() for v in program(state, t, cond)]
    for a, b in zip((expected.x0, expected.eps), found):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1, float(a.abs().max())), rtol=0)
    assert len(set(np.asarray(found[0]).reshape(n, -1).std(1))) == n
    return made

images = pipeline_of(Dataset(x, np.arange(50) % 10, digits))
made = check(images, "model", images.conditioner.encode(5, {"label": list("01234")}))
assert made["inputs"]["label"]["null"] == 10 and made["inputs"]["label"]["choices"]["7"] == 7
assert made["inputs"]["t"]["range"] == [0.0, 1.0]
try:
    export(images, Path("model"), kind)
    raise AssertionError("overwritten")
except CannotCreateError:
    pass
rows = np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32)
dots = pipeline_of(Dataset(rows), schedule="cosine", parameterization="eps")
made = check(dots, "dots", {})
assert set(made["inputs"]) == {"x", "t"}
assert made["inputs"]["t"]["range"][1] < 1  # eps says nothing of x0 in pure noise

exec(Path("sampler.py").read_text())
state = torch.from_numpy(noise).float() * steps["sigma"][0]
ours = images.sample(
    8, solver="ddim", guidance=2.0, label="3", init=state, grid=",".join(map(repr, steps["t"]))
)
assert images.plan(8).grid.tolist() == steps["t"]
assert abs(globals()["images_"].astype(int) - ours).max() <= 1 and ours.std() > 20
print("all is well")
"""


def run(tmp_path, kind, loader):
    (tmp_path / "sampler.py").write_text(loader + SAMPLER.replace("images =", "images_ ="))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind],
        cwd=tmp_path, capture_output=True, text=True, timeout=250,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("all is well\n")


@pytest.mark.slow
def test_torch_export(tmp_path):
    run(tmp_path, "torch-export", TORCH)


def test_onnx(tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            pytest.skip(f"no {package}")
    run(tmp_path, "onnx", ONNX)


def test_a_missing_package_is_named_before_anything_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    real = find_spec
    hide = lambda name, *rest: None if name == "onnxscript" else real(name, *rest)  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", hide)
    monkeypatch.setitem(sys.modules, "onnx", json)
    assert main(["export", "digits", "out"]) == 66
    assert "needs the package onnxscript: pip install 'demist[export]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
