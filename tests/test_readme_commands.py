"""The commands of the README, typed one after the other beside a small run named as the demo's."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tyro
from PIL import Image

from demist import load, runs
from demist.cli import main
from demist.commands import evaluate, train

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
LINES = re.findall(r"^demist .*$", TEXT, flags=re.MULTILINE)
FEW = ["--steps", "2", "--batch-size", "8", "--precision", "fp32", "--sample-count", "0"]
SMALL = [
    *FEW, *("--channels-per-level", "8", "--norm-groups", "2", "--head-dim", "4"),
    *("--limit", "40"),
]  # fmt: skip
ONLY = {
    "scenes": [
        "--channels-per-level",
        "16",
        "16",
        "16",
        "--limit",
        "40",
        "--text-width",
        "32",
        "--head-dim",
        "8",
    ],
    "student": ["--limit", "40"],
    "moons": ["--width", "8"],
    "autoencoder": ["--limit", "40"],
    "latent": [*SMALL[10:], "--channels-per-level", "8", "8", "8", "--codec-budget", "2steps"],
}


def shortened(line):
    """The arguments typed, of trainings with limits that make them short."""
    args = shlex.split(line, comments=True)[1:]
    if args[0] in ("sample", "edit", "restore"):
        return [*args, *([] if "--steps" in line or "--grid" in line else ["--steps", "2"])]
    if args[0] != "train":
        return args
    if "--resume" in args:
        return [*args, "--steps", "4"]
    recipe = args[args.index("--recipe") + 1] if "--recipe" in args else ""
    return args + (FEW + ONLY[recipe] if recipe in ONLY else SMALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the run that `make demo` leaves, but for its length, and a folder of images."""
    folder = tmp_path_factory.mktemp("readme")
    rng = np.random.default_rng(0)
    for i in range(24):
        file = folder / "path" / "to" / "images" / "ab"[i % 2] / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)).save(file)
    Image.fromarray(load("digits", limit=2).x[0, 0]).save(folder / "seven.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "--recipe", "demo", *SMALL]) == 0
        assert [run.path.name for run in runs.all_runs("runs")] == ["0001-demo"]
    return folder


@pytest.mark.slow
def test_each_works_as_pasted(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setenv("DEMIST_CACHE", str(place / "cache"))
    assert len(LINES) >= 18
    for line in LINES:
        args = shortened(line)
        if args[0] == "evaluate":  # minutes: the models are opened, and nothing is measured
            asked = tyro.cli(evaluate.Options, args=args[1:], config=(tyro.conf.OmitArgPrefixes,))
            assert all(asked.source.candidate(m) for m in (asked.run, asked.against) if m)
        elif args[0] == "launch":
            assert train.parse(args[args.index("train") + 1 :]).where == "path/to/images"
        elif args[0] != "doctor":
            assert main(args) == 0, (line, capsys.readouterr().err)
    assert Path("threes.png").is_file()
    assert Path("film.gif").is_file()
    assert Path("edited.png").is_file()
    assert Path("restored-spread.png").is_file()
    assert [run.name for run in runs.all_runs("runs")] == [
        "demo", "images", "moons", "student", "images", "autoencoder", "images", "scenes",
    ]  # fmt: skip


def test_pages_of_the_docs_name_runs_that_a_newcomer_has():
    """`1`, `latest`, a name of a run that the page or a recipe makes, or a placeholder."""
    pages = [TEXT, *(page.read_text() for page in (ROOT / "docs").glob("*.md"))]
    typed = re.findall(r"^demist (?:sample|evaluate|bulk) (\S+)", "\n".join(pages), re.MULTILINE)
    typed = {word for word in typed if not word.startswith(("path/to/", "hf:owner/"))}
    assert typed <= {"1", "latest", "digits", "demo", "scenes", "RUN"}
