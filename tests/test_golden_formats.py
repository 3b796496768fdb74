"""Files that earlier versions wrote can still be read: runs, checkpoints and saved models.

`python tests/test_golden_formats.py N` records the files of format N, once, when a format is made;
they are never recorded again.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from demist import runs
from demist.config import TrainConfig, update
from demist.model.pipeline import Pipeline
from demist.runs import Run, checkpoint
from demist.training.run import train

GOLDEN = Path(__file__).parent / "golden"
FORMATS = sorted(path for path in GOLDEN.glob("format-*") if path.is_dir())
CONFIG = update(
    TrainConfig(),
    {
        "path": "eight", "limit": 64, "width": 4, "depth": 1, "batch_size": 4, "steps": 4,
        "save_every": "2", "sample_count": 0, "decay": "constant", "log_every": "2",
    },
)  # fmt: skip


@pytest.fixture(params=FORMATS, ids=lambda path: path.name)
def golden(request, tmp_path):
    shutil.copytree(request.param, tmp_path / "golden")
    return tmp_path / "golden"


def test_there_is_one_for_every_format():
    assert [path.name for path in FORMATS] == [f"format-{i + 1}" for i in range(checkpoint.FORMAT)]


def test_a_model(golden):
    expected = json.loads((golden / "expected.json").read_text())
    found = Pipeline.load(golden / "run" / "model")
    np.testing.assert_allclose(found.sample(4, steps=3, seed=1), expected["samples"], atol=1e-4)
    assert found.facts["step"] == 4


def test_a_run_is_gone_on_with(golden):
    """Its options, checkpoints and metrics are read, and training goes on from them."""
    run = Run(golden / "run")
    expected = json.loads((golden / "expected.json").read_text())
    assert checkpoint.steps(run.checkpoints) == [2, 4]
    for step in (2, 4):
        found = checkpoint.load(run.checkpoints / checkpoint.folder_name(step))
        sums = {
            f"{part} {name}": float(value.double().sum())
            for part, tensors in found.parts.items()
            for name, value in tensors.items()
        }
        assert sums == pytest.approx(expected["sums"][str(step)])
        assert found.state["images"] == 4 * step
    assert len(runs.read_metrics(run.metrics)) == 2
    assert run.status()["state"] == "done"
    train(update(run.config(), {"steps": 6}), run, resume=True, quiet=True)
    assert (run.status()["step"], run.status()["images"]) == (6, 24)


def record(folder):
    """Make the files that the tests above read."""
    torch.manual_seed(0)
    run = train(update(CONFIG, {"runs": str(folder / "runs")}), quiet=True)
    run.path.rename(folder / "run")
    (folder / "runs").rmdir()
    for name in ("environment.json", "command.txt", "lock", "summary.md", "loss.png"):
        (folder / "run" / name).unlink(missing_ok=True)
    (folder / "run" / "samples").rmdir()
    run = Run(folder / "run")
    sums = {
        step: {
            f"{part} {name}": float(value.double().sum())
            for part, tensors in checkpoint.load(
                run.checkpoints / checkpoint.folder_name(step)
            ).parts.items()
            for name, value in tensors.items()
        }
        for step in (2, 4)
    }
    samples = Pipeline.load(run.model).sample(4, steps=3, seed=1).tolist()
    text = json.dumps({"samples": samples, "sums": sums}, indent=1)
    (folder / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    record(GOLDEN / f"format-{int(sys.argv[1])}")
