"""`demist evaluate` of saved models, of models that read captions, and of unequal rivals."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demist import runs
from demist.cli import main
from demist.conditions import Conditioner, Label
from demist.conditions.text import Text, learn_tokenizer
from demist.data import Dataset, load
from demist.errors import DataError
from demist.measuring import ruler
from demist.measuring.prompts import ask
from demist.model.pipeline import Pipeline

sys.path.append(str(Path(__file__).parent / "evaluation"))
from test_eval_pretrained import tiny_clip
from test_eval_text_score import Colours

TINY = [
    *("--channels-per-level", "8", "8", "--norm-groups", "2", "--head-dim", "4"),
    *("--attention-levels", "1", "--batch-size", "8", "--warmup", "0"),
    *("--sample-count", "0", "--precision", "fp32", "--text-width", "32", "--text-depth", "1"),
]
FEW = ["--n", "24", "--steps", "2"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))


def pages(folder, split, captions):
    """Pictures of one colour, and what is said of them."""
    where = Path(folder) / split
    where.mkdir(parents=True)
    rng = np.random.default_rng(len(captions))
    with (where / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "text"])
        for i, caption in enumerate(captions):
            x = rng.integers(0, 30, (8, 8, 3)).astype(np.uint8)
            x[..., Colours.names.index(caption.split()[-1])] += 200
            Image.fromarray(x).save(where / f"{i:02d}.png")
            rows.writerow([f"{i:02d}.png", caption])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with pages, and a run on them two steps old."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        pages("pages", "train", [*Colours.names] * 8)
        pages("pages", "test", [*Colours.names] * 3 + ["mauve red", "mauve blue"])
        assert main(["train", "pages", "--steps", "2", *TINY]) == 0
    return folder


@pytest.fixture
def reader(made, tmp_path):
    """The run, in a working directory of its own."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return runs.find("1")


def facts(path="runs/0001-pages/evaluation.json"):
    return json.loads(Path(path).read_text())


@pytest.mark.slow
def test_images_are_compared_with_what_was_asked_for(reader, monkeypatch, capsys):
    """A sampler that obeys scores as real images do; one that does not, as shuffled captions."""
    monkeypatch.setattr(ruler, "open_encoder", lambda _: Colours())

    def obedient(self, n, *, text, **_):
        x = np.zeros((n, 3, 8, 8), np.uint8)
        x[np.arange(n), [Colours.names.index(t) for t in text]] = 220
        return x

    monkeypatch.setattr(Pipeline, "sample", obedient)
    assert main(["evaluate", "--clip", "any", *FEW]) == 0
    out = capsys.readouterr().out
    assert re.search(r"\| image-text score \| 100\.00 ± 0\.00 \| 9\d\.\d\d \| high ", out)
    assert "asked for 8 held-out captions" in out
    metrics = facts()["report"]["metrics"]
    assert metrics["text_score_shuffled"]["value"] < 60
    assert metrics["text_score_shuffled"]["floor"] < 70
    assert facts()["report"]["protocol"]["captions"] == "colours"

    def stubborn(self, n, *, text, **settings):
        return obedient(self, n, text=["red"] * n)

    monkeypatch.setattr(Pipeline, "sample", stubborn)
    assert main(["evaluate", "--clip", "any", *FEW]) == 0
    metrics = facts("runs/0001-pages/evaluation-2.json")["report"]["metrics"]
    own, others = (metrics[name]["value"] for name in ("text_score", "text_score_shuffled"))
    assert own == pytest.approx(others, abs=1e-9)


def test_captions_are_asked_whatever_is_measured(reader, capsys):
    assert main(["evaluate", *FEW]) == 0
    assert "asked for 8 held-out captions" in capsys.readouterr().out
    assert "text_score" not in facts()["report"]["metrics"]
    page = (reader.model / "README.md").read_text()  # has the table now
    assert "pipeline_tag: text-to-image" in page
    assert page.index("## How good it is") < page.index("| FDr |")


@pytest.mark.slow
def test_a_model_is_measured_with_its_refiner(reader):
    assert main(["evaluate", "--refiner", "1", "--refine-from", "0.5", *FEW]) == 0
    assert (
        main(["evaluate", "--refiner", "1", "--refine-from", "0.5", "--processes", "2", *FEW]) == 0
    )
    one, two = facts(), facts("runs/0001-pages/evaluation-2.json")
    assert one["model"]["beside"]["refine_from"] == 0.5
    assert one["report"]["metrics"] == two["report"]["metrics"]
    assert "## How good it is" not in (reader.model / "README.md").read_text()  # not of it alone


def test_captions_that_cannot_be_read_are_counted(reader):
    pipeline = Pipeline.from_run(reader)
    test = load("pages", split="test")
    asked = ask(pipeline, test, 100)
    assert sorted(asked.values["text"]) == sorted([*Colours.names] * 3)
    assert [test.texts[row] for row in asked.rows] == asked.values["text"]
    assert asked.sentence == ("asked for 9 held-out captions (2 others have words it never read)")
    assert asked.of("text", 11)[9:] == asked.values["text"][:2]
    with pytest.raises(DataError, match=r"none of the 2 held-out captions.*never read 'mauve'"):
        ask(pipeline, test.subset(np.array([9, 10])), 100)


def test_clip_from_a_folder(reader, tmp_path, capsys):
    tiny_clip(tmp_path / "clip")
    assert main(["evaluate", "--clip", "clip", *FEW]) == 0
    out = capsys.readouterr().out
    assert re.search(r"\| image-text score \| [\d.]+ ± [\d.]+ \| [\d.]+ \| high", out)
    assert re.search(r"compared by clip, antialiased to 32, weights [0-9a-f]{12};", out)


def test_clip_needs_captions(reader, capsys):
    assert main(["evaluate", "digits", "--clip", "clip"]) == 64
    assert "but digits reads none" in capsys.readouterr().err
    np.savez("plain.npz", x=np.zeros((30, 3, 8, 8), np.uint8))
    assert main(["evaluate", "--data", "plain.npz", "--clip", "clip"]) == 64
    assert "but plain has none" in capsys.readouterr().err
    assert main(["evaluate", "--clip", "nowhere"]) == 66
    assert "there is no config.json in nowhere" in capsys.readouterr().err


def rounded(value):
    """Nested JSON with its numbers to six digits."""
    return json.loads(json.dumps(value), parse_float=lambda digits: f"{float(digits):.6g}")


@pytest.mark.slow
def test_a_saved_model_is_measured_where_one_stands(reader, capsys):
    model = str(reader.model)
    assert main(["evaluate", model, *FEW]) == 64
    assert "does not say where its data is; add --data DATA" in capsys.readouterr().err
    assert main(["evaluate", model, "--data", "pages", "--precision", "fp32", *FEW]) == 0
    assert main(["evaluate", *FEW]) == 0
    saved, run = facts("evaluation.json"), facts()
    # Sums of floats may differ in the last bits with where in memory their terms lie.
    assert rounded(saved["report"]) == rounded(run["report"])
    assert not any("Other data" in warning for warning in run["report"]["warnings"])


def test_a_model_of_other_data_is_warned_of(reader, capsys):
    pages("more", "train", [*Colours.names] * 9)
    pages("more", "test", [*Colours.names] * 3)
    assert main(["evaluate", "--data", "more", *FEW]) == 0
    assert "was trained on 24 items of pages, not on these 27 of more" in capsys.readouterr().out


@pytest.mark.slow
def test_rivals_of_unequal_conditions_get_equal_counts(capsys):
    """One is asked for three classes, and the other for nothing."""
    x, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3
    np.savez("points.npz", x=x.astype(np.float32), y=y)
    small = ["--steps", "1", "--width", "8", "--depth", "1", "--sample-count", "0"]
    assert main(["train", "points.npz", *small]) == 0
    assert main(["train", "points.npz", "--no-labels", *small]) == 0
    for line in (["1", "--against", "2"], ["2", "--against", "1"]):
        assert main(["evaluate", *line, "--n", "40", "--seeds", "2", "--steps", "1"]) == 0
        out = capsys.readouterr().out
        assert out.count("2 sets (seeds 0, 1) of 20 generated samples") == 2


class Told(Pipeline):
    """A model of which nothing but its conditions is known."""

    def __init__(self, conditions):
        object.__setattr__(self, "conditioner", Conditioner(conditions))


def test_a_caption_keeps_the_class_of_its_picture():
    words = ("red", "green", "blue")
    reads = Text(learn_tokenizer(words), 4)
    data = Dataset(
        np.zeros((6, 3, 8, 8), np.uint8), np.arange(6) % 3, ("r", "g", "b"), texts=words * 2
    )
    both = Told({"text": reads, "label": Label(data.classes)})
    asked = ask(both, data, 4)
    assert len(asked.rows) == 4
    assert [word[0] for word in asked.values["text"]] == asked.values["label"]
    other = Told({"text": reads, "label": Label(("x", "y"))})
    assert set(ask(other, data, 4).values) == {"text"}
