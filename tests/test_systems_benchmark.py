"""The table of systems: seeds that took the same steps stand in one row, on whatever machine."""

import importlib
import json
from pathlib import Path

import pytest

import demist
from demist.config import flat

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def systems(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("systems")


def test_the_page_has_the_table_of_the_figures(systems):
    known = systems.read(systems.RESULTS / "systems.json")
    assert systems.table(known) in (systems.RESULTS / "systems.md").read_text(encoding="utf-8")


def test_the_guide_has_the_means_of_three_seeds(systems):
    known = systems.read(systems.RESULTS / "systems.json")
    guide = (BENCHMARKS.parent / "docs" / "systems.md").read_text(encoding="utf-8").splitlines()
    for name in systems.SYSTEMS:
        images = known[f"{name}/40/0"]["images"]
        rows = [r for r in known.values() if (r["recipe"], r["images"]) == (name, images)]
        assert sorted(row["seed"] for row in rows) == [0, 1, 2]
        # Counted again in whole images: the figures have one decimal.
        right = [
            sum(round(row[kind]["all"] * row["n"] / 100) for row in rows)
            for kind in ("seen", "relations")
        ]
        shares = [round(100 * many / sum(row["n"] for row in rows)) for many in right]
        (line,) = (line for line in guide if line.startswith(f"| `{name}` |"))
        assert line.endswith(f"| {shares[0]} % | {shares[1]} % |"), name


def test_rows_of_the_same_images_are_one_and_others_are_not(systems):
    known = systems.read(systems.RESULTS / "systems.json")
    row = next(row for row in known.values() if row["recipe"] == "sd" and row["seed"] == 0)

    def seed(number, share, **others):
        kinds = {kind or "seen": {"all": share, "bindings": share} for kind in systems.KINDS}
        return row | kinds | {"seed": number, "precision": "bf16", **others}

    rows = {
        "a": seed(0, 20.0),
        "b": seed(1, 30.0),
        "c": seed(2, 25.0),
        "d": seed(1, 50.0, images=9),
    }
    *_, pooled, other = systems.table(rows).splitlines()
    assert "| 0, 1, 2 | bf16, bf16, bf16 | 25.0 (20.0 to 30.0) |" in pooled
    assert pooled.startswith(f"| sd | 40 | {row['images']} |")
    assert other.startswith("| sd | 40 | 9 | 1 | bf16 | 50.0 ± 6.1 |")


@pytest.mark.parametrize(
    ("recipe", "steps"),
    [
        ("sd", {"model": 7}),
        ("sdxl", {"refiner": 3, "model": 7}),
        ("dalle2", {"clip": 2, "prior": 5, "model": 7}),
        ("glide", {"base": 4, "model": 7}),
    ],
)
def test_each_stage_takes_the_steps_that_it_is_given(systems, monkeypatch, tmp_path, recipe, steps):
    asked = []

    class Done:
        path = tmp_path

    def train(stages, run, resume):
        asked.append((stages, run, resume))
        return Done

    monkeypatch.setattr(demist, "train", train)
    codec = str(tmp_path / "codec")
    assert systems.trained(recipe, 40, 3, tmp_path / "runs", codec, steps) == tmp_path
    ((stages, run, resume),) = asked
    assert (run, resume) == (None, False)
    limits = {stage.name: vars(stage.config.limits) for stage in stages}
    assert {name: one["steps"] for name, one in limits.items()} == steps
    assert {one["budget"] for one in limits.values()} == {None}
    assert {flat(stage.config)["seed"] for stage in stages} == {3}


def test_steps_are_told_stage_by_stage_without_the_codec(systems, tmp_path):
    for place, many in ((".", 9), ("stages/codec", 100), ("stages/refiner", 4)):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "summary.json").write_text(json.dumps({"steps": many}))
    assert systems.steps_of(tmp_path) == {"refiner": 4, "model": 9}
