"""Every example runs, with tiny settings."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def load(name):
    (path,) = (path for path in EXAMPLES if path.stem == name)
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES} == {"train_digits", "toy_2d", "resume_and_branch"}


def test_train_digits(tmp_path):
    tiny = {"channels_per_level": (8, 8), "attention_levels": (1,), "limit": 100}
    tiny |= {"norm_groups": 2, "head_dim": 4, "batch_size": 8, "sample_count": 0}
    tiny |= {"precision": "fp32"}
    picture = load("train_digits").main(steps=3, runs=str(tmp_path / "runs"), **tiny)
    assert picture == tmp_path / "runs" / "0001-demo" / "sevens.png"
    assert picture.exists()


@pytest.mark.slow
def test_toy_2d(tmp_path):
    distances = load("toy_2d").main(steps=60, folder=str(tmp_path))
    assert distances.keys() == {"ddim", "dpmpp-2m", "heun"}
    assert all(0 < distance < 1.0 for distance in distances.values())
    assert (tmp_path / "moons.png").exists()


def test_resume_and_branch():
    kept = load("resume_and_branch").main(steps=20, n=200)
    early, middle, late, renoised = kept.values()
    assert 0.2 < early < middle < late
    assert late > 0.97
    assert 0.5 < renoised < 1
