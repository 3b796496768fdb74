"""The page of a model: what it says is so, its commands work, and a person's page is kept."""

import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest

from demist import runs
from demist.cli import main
from demist.commands import train as train_command
from demist.config import TrainConfig, flat, training_command, update
from demist.config.command import MACHINE
from demist.model import Pipeline, card

TINY = [
    *("--channels-per-level", "8", "--norm-groups", "2", "--no-mid-attention", "--batch-size", "8"),
    *("--warmup", "0", "--steps", "3", "--sample-count", "0", "--precision", "fp32"),
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, y = np.random.default_rng(0), np.arange(40) % 2
    x = (rng.integers(0, 60, (40, 1, 8, 8)) + 190 * y[:, None, None, None]).astype(np.uint8)
    np.savez("squares.npz", x=x, y=y)
    assert main(["train", str(tmp_path / "squares.npz"), *TINY]) == 0
    return runs.find("1")


def page(folder):
    return (folder / "README.md").read_text()


def test_a_finished_run_has_a_page_whose_commands_work(run, tmp_path):
    text = page(run.model)
    head = text.split("---\n")[1].splitlines()
    assert head[:2] == ["library_name: demist", "pipeline_tag: unconditional-image-generation"]
    assert head[2:] == ["tags:", "- diffusion", "- demist", "- images"]
    index = json.loads((run.model / "model_index.json").read_text())
    count = json.loads((run.path / "summary.json").read_text())["parameters"]
    assert f"| network | UNet, {count:,} parameters |" in text
    assert f"| data's fingerprint | {index['facts']['fingerprint']} |" in text
    assert "| trained for | 3 steps, " in text
    assert "| condition `label` | label 0, 1 |" in text
    assert index["facts"]["trained"]["data"].strip() in text
    assert str(tmp_path) not in text  # nobody's folders
    (again,) = re.findall(r"^demist train .*$", text, flags=re.MULTILINE)
    wanted = flat(train_command.parse(shlex.split(again)[2:]).settings)
    for name, value in flat(run.config()).items():
        if name not in {*MACHINE, *vars(run.config().output), "path"}:
            assert wanted[name] == value, name
    (program,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names = {}
    exec(program.replace("FOLDER", str(run.model)), names)
    assert names["samples"].shape == (16, 1, 8, 8)
    (line,) = re.findall(r"^demist sample .*$", text, flags=re.MULTILINE)
    assert line == "demist sample FOLDER --class 0"
    assert main(shlex.split(line.replace("FOLDER", str(run.model)))[1:]) == 0


def test_a_table_comes_into_the_page_and_a_persons_page_stays(run):
    pipeline = Pipeline.load(run.model)
    assert card.edited(run.model) is None
    assert card.add_table(run.model, "| FDr | 2.0 |\n")
    assert card.add_table(run.model, "| FDr | 3.0 |\n")
    text = page(run.model)
    assert (text.count(card.TABLE), text.count("FDr")) == (1, 1)
    assert "| FDr | 3.0 |" in text
    assert Pipeline.load(run.model).facts == pipeline.facts
    pipeline.save(run.model, replace=True)
    assert "FDr" not in page(run.model)  # ours is made anew
    mine = page(run.model).replace("# A diffusion model", "# My diffusion model")
    (run.model / "README.md").write_text(mine)
    assert not card.add_table(run.model, "| FDr | 3.0 |\n")
    pipeline.save(run.model, replace=True)
    assert page(run.model) == mine
    assert Pipeline.load(run.model).sample(2, steps=2).shape == (2, 1, 8, 8)


def test_a_licence_stands_there_if_somebody_gave_it(run, tmp_path):
    pipeline = Pipeline.load(run.model)
    assert "license" not in page(run.model)
    given = replace(pipeline, facts={**pipeline.facts, "license": "cc-by-4.0"})
    assert "\nlicense: cc-by-4.0\n---\n" in page(given.save(tmp_path / "given"))
    bare = replace(pipeline, facts={})
    assert "# A diffusion model of unnamed data\n" in page(bare.save(tmp_path / "bare"))


def test_the_command_holds_every_kind_of_option():
    config = update(
        TrainConfig(),
        {"path": "/home/me/my photos", "channels_per_level": [8, 16], "flip": True, "lr": 1e-4,
         "bounded": False, "steps": 5, "conditions": "digit,speaker", "runs": "elsewhere"},
    )  # fmt: skip
    line = training_command(config)
    assert line.startswith("demist train 'my photos' ")
    assert "elsewhere" not in line
    found = train_command.parse(shlex.split(line)[2:]).settings
    assert found == update(config, {"path": "my photos", "runs": "runs"})
