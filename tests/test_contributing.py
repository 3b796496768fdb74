"""The programs of CONTRIBUTING.md, each written as one file into a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PROGRAMS = {
    path: f"{text}\n"
    for path, text in re.findall(
        r"```python\n# src/(demist/\S+\.py)\n(.*?)\n```",
        (ROOT / "CONTRIBUTING.md").read_text(),
        flags=re.DOTALL,
    )
}


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """Where the package lies with all the programs in it."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "src" / "demist", folder / "demist")
    for path, text in PROGRAMS.items():
        assert not (folder / path).exists()
        (folder / path).write_text(text)
    return folder


def python(extended, *args):
    env = {**os.environ, "PYTHONPATH": str(extended), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *args], env=env, cwd=extended, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


PARTS = """
import json, torch
from demist import codecs, core, guidance, samplers
from demist.cli import COMMANDS, main
from demist.config import TrainConfig, update

# A schedule: by name with its options, in options of a run, in JSON, inside another one.
schedule = core.make_schedule("slow-start:power=3")
update(TrainConfig(), {"schedule": "slow-start:power=3"})
assert core.SCHEDULES.from_json(core.SCHEDULES.to_json(schedule), "here") == schedule
assert core.make_schedule("slow-start:power=3,shift=2") == core.Shifted(schedule, 2.0)
t = torch.linspace(0, 1, 50, dtype=torch.float64)
assert (schedule.angle(t).diff() > 0).all()
torch.testing.assert_close(schedule.time_at_angle(schedule.angle(t)), t)

# A solver, a grid, a rule: by name, also inside another part.
assert type(samplers.make_solver("corrected:solver=midpoint").solver).__name__ == "Midpoint"
assert samplers.make_grid("quadratic", 2, schedule).tolist() == [1.0, 0.25, 0.0]
made = guidance.make_rule("clamp:model=renorm")(schedule, 2.0, dict)
assert type(made.model).__name__ == "Renorm" and made.model.scale == 2.0

# A codec: both directions, and JSON.
codec = codecs.CODECS.make("log:std=2")
assert codecs.CODECS.from_json(json.loads(json.dumps(codecs.CODECS.to_json(codec))), "x") == codec
x = torch.rand(4, 3) * 9
torch.testing.assert_close(codec.decode(codec.encode(x)), x)

# A command.
assert COMMANDS["times"] == "Print the times at which a grid calls the model."
assert main(["times", "quadratic", "--steps", "2"]) == 0
assert main(["list", "rules"]) == 0
"""


def test_every_part_is_found_by_its_name(extended):
    """What a stranger adds by one file works wherever the parts of the package do."""
    out = python(extended, "-c", PARTS)
    assert out.splitlines()[:3] == ["1.0000", "0.2500", "0.0000"]
    assert "\nrenorm " in out


@pytest.mark.slow
def test_help_knows_the_new_command_and_a_run_the_new_schedule(extended):
    assert "  times       Print the times" in python(extended, "-m", "demist", "--help")
    out = python(
        extended,
        *("-m", "demist", "train", "eight", "--limit", "32", "--batch-size", "8", "--dry-run"),
        *("--schedule", "slow-start:power=3", "--sample-solver", "midpoint"),
    )
    assert "steps" in out


NETWORK = """
import numpy as np, torch
from demist import Pipeline
from demist.config import TrainConfig, update
from demist.data import Dataset
from demist.training.build import build

x = np.random.default_rng(0).integers(0, 255, (8, 1, 8, 8)).astype(np.uint8)
data = Dataset(x, np.arange(8) % 2, ("a", "b"))
config = {"network": "convolutions:width=12", "width": 8, "depth": 2, "batch_size": 4}
made = build(update(TrainConfig(), {**config, "device": "cpu"}), data)
net = made.pipeline.denoiser.net
assert net.config["width"] == 12 and net.config["depth"] == 2 and len(net.blocks) == 2
loss = made.objective(made.denoiser, made.batches(0))
loss.mean().backward()
assert float(net.conv_out.weight.grad.abs().max()) > 0
torch.nn.init.normal_(net.conv_out.weight)
made.pipeline.save("saved")
again = Pipeline.load("saved")
assert type(again.denoiser.net) is type(net)
one, other = (p.sample(3, steps=2, label="a", seed=1) for p in (made.pipeline, again))
assert np.array_equal(np.asarray(one), np.asarray(other)) and one.shape == (3, 1, 8, 8)
b = made.pipeline.sample(3, steps=2, label="b", seed=1)
assert not np.array_equal(np.asarray(one), np.asarray(b))
"""


@pytest.mark.slow
def test_a_network_is_trained_saved_and_listed_by_its_name(extended):
    python(extended, "-c", NETWORK)
    listing = python(extended, "-m", "demist", "list", "networks")
    assert "width=64 (whole number), depth=4 (whole number)" in listing
    assert "outputs" not in listing


METRIC = """
import numpy as np
from demist.evaluation import Reference, against, markdown, measure, over_seeds
from demist.training.judge import train_classifier

rng = np.random.default_rng(0)
x = rng.integers(0, 200, (120, 1, 8, 8)).astype(np.uint8)
judge = train_classifier(x, np.arange(120) % 2, ("a", "b"), epochs=1, width=2)
train, test = x[:60], x[60:]
reference = Reference.of(judge, train, test, generated=60)
reports = [measure(reference, test + 50, seed=seed) for seed in (0, 1)]
entry = reports[0]["metrics"]["brightness"]
assert entry["floor"] == float(test.mean()) and abs(entry["value"] - entry["floor"] - 50) < 1e-9
both = over_seeds(reports)
assert f"| brightness | {entry['value']:.1f} ± 0.0 | " in markdown(both)
assert "as real | how light images are |" in markdown(both)
assert "| brightness |" in against(both, both)
assert list(both["metrics"])[-1] == "brightness"
"""


@pytest.mark.slow
def test_a_metric_is_measured_and_printed(extended):
    python(extended, "-c", METRIC)
    assert "brightness" in python(extended, "-m", "demist", "list", "metrics")


CONTRACTS = {
    "midpoint": "contracts/test_solvers.py",
    "quadratic": "samplers/test_grid.py",
    "Renorm": "contracts/test_guidance.py",
}


@pytest.mark.slow
@pytest.mark.slow
def test_they_pass_their_contracts_and_a_wrong_one_does_not(extended, tmp_path):
    files = [str(ROOT / "tests" / place) for place in CONTRACTS.values()]
    options = ["-m", "pytest", "-v", "-x", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    out = python(extended, *options, *files, "-k", " or ".join(CONTRACTS))
    for name, test in (("midpoint", "test_order"), ("quadratic", "test_"), ("Renorm", "test_")):
        assert re.search(rf"{test}\w*\[.*{name}.* PASSED", out), name
    wrong = extended / "demist" / "samplers" / "solvers" / "midpoint.py"
    right = wrong.read_text()
    try:
        off = "half = tau + 0.4 * (tau_s - tau)"  # of first order
        wrong.write_text(right.replace("half = (tau + tau_s) / 2", off))
        with pytest.raises(AssertionError, match="test_order"):
            python(extended, *options, files[0], "-k", "midpoint and order_inside")
    finally:
        wrong.write_text(right)


@pytest.mark.slow
@pytest.mark.slow
def test_a_reader_a_condition_and_a_tracker_are_found(extended, tmp_path):
    """A run learns from the new format and is logged; another from a column, by the condition."""
    x = np.random.default_rng(0).standard_normal((40, 2))
    np.savetxt(tmp_path / "cloud.xyz", x)
    short = ("--steps", "2", "--batch-size", "8", "--sample-count", "0", "--width", "8")
    runs = ("--runs", str(tmp_path / "runs"))
    train = ("-m", "demist", "train")
    logged = ("--log", "table", "--log-every", "1")
    python(extended, *train, str(tmp_path / "cloud.xyz"), *short, *runs, *logged)
    lines = (tmp_path / "runs" / "0001-cloud" / "metrics.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["1", "2"]
    out = tmp_path / "points.png"
    python(extended, "-m", "demist", "sample", "1", "--n", "8", "--steps", "2", *runs,
           "--out", str(out))  # fmt: skip
    assert out.exists()
    folder = tmp_path / "turned"
    folder.mkdir()
    lines = ["file_name,angle"]
    for i in range(16):
        Image.fromarray(np.full((8, 8), 15 * i, np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{i * 22.5}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    small = ("--channels-per-level", "8", "--head-dim", "8", "--patch", "2")
    turn = ("--conditions", "angle=turn")
    python(extended, *train, str(folder), *short, *small, *turn, *runs)
    made = tmp_path / "made.png"
    python(extended, "-m", "demist", "sample", "2", "--n", "2", "--steps", "2", *runs,
           "--cond", "angle=90", "--out", str(made))  # fmt: skip
    assert made.exists()
    for kind, name in (("readers", "xyz"), ("conditions", "turn")):
        assert f"\n{name} " in python(extended, "-m", "demist", "list", kind)


TURN = """
import torch
from demist.conditions import Conditioner
from demist.conditions.turn import Turn

c = Conditioner({"angle": Turn()})
zero, full, null = (c.encode(1, {"angle": value}) for value in (0.0, 360.0, None))
torch.testing.assert_close(zero["angle"], full["angle"])
assert torch.equal(null["angle"], torch.zeros(1, 2))
assert torch.equal(c.null(c.encode(3, {"angle": [10, 20, 30]}))["angle"], torch.zeros(3, 2))
"""


@pytest.mark.slow
def test_the_new_condition_knows_its_null(extended):
    python(extended, "-c", TURN)
