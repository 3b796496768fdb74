"""Whatever the data, numbers mean what they say: what is asked for, and what was never seen."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demist import runs
from demist.cli import main
from demist.conditions import Conditioner, Label
from demist.data import Dataset, digits
from demist.errors import NotFiniteError, UsageError
from demist.evaluation import Ruler
from demist.measuring import likelihood
from demist.measuring.candidate import open_candidate
from demist.measuring.evaluate import evaluate
from demist.measuring.judging import LabelAccuracy
from demist.measuring.prompts import ask, interleaved
from demist.measuring.ruler import other_data, ruler_for
from demist.modalities import Images
from demist.model.pipeline import Pipeline
from demist.training.judge import train_classifier
from demist.training.samples import columns_for

sys.path.append(str(Path(__file__).parent / "evaluation"))
from whitened import Whitened

SMALL = ["--steps", "1", "--width", "8", "--depth", "1", "--sample-count", "0"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))


class OfClasses(Pipeline):
    """A model of which nothing but its classes is known."""

    def __init__(self, classes):
        object.__setattr__(self, "conditioner", Conditioner({"label": Label(tuple(classes))}))


def labelled(labels, classes):
    labels = np.asarray(labels)
    return Dataset(np.zeros((len(labels), 1, 8, 8), np.uint8), labels, tuple(classes))


def points(path="points.npz", n=120, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32)
    np.savez(path, x=x, y=np.arange(n) % 3)


def test_classes_are_asked_for_as_often_as_the_data_has_them():
    train = labelled([0] * 50 + [2] * 30 + [3] * 20, "abcd")
    asked = ask(OfClasses("abcd"), train.subset(np.arange(4)), 10, train)
    assert asked.sentence == (
        "asked for classes as often as the data has them; never for b, which it has not"
    )
    assert {name: asked.of("label", 10).count(name) for name in "abcd"} == {
        "a": 5, "b": 0, "c": 3, "d": 2,
    }  # fmt: skip
    assert interleaved("abc", np.array([4, 2, 1])) == list("abacaba")
    assert interleaved("abc", np.array([2, 2, 2])) == list("abcabc")


def test_only_classes_that_both_know_are_asked_for():
    data = labelled([0, 0, 1, 2], ("1", "2", "other"))
    asked = ask(OfClasses(["0", "1", "2"]), data, 6)
    assert sorted(asked.values["label"]) == ["1"] * 4 + ["2"] * 2
    assert asked.sentence.endswith(
        "never for 0, which it has not; the model does not know its class other"
    )
    with pytest.raises(UsageError, match="knows the classes zero, one, and the data has 1, 2, oth"):
        ask(OfClasses(["zero", "one"]), data, 6)
    plain = Dataset(data.x)
    assert "all classes equally often" in ask(OfClasses("ab"), plain, 4).sentence


def test_strange_classes_are_refused_before_anything_is_sampled(capsys):
    d = digits("test").subset(np.arange(60))
    np.savez("words.npz", x=d.x, y=d.labels + 10)
    assert main(["evaluate", "digits", "--data", "words.npz", "--n", "20", "--seeds", "2"]) == 64
    assert "digits: the model knows the classes 0, 1, 2, 3, 4, 5, 6, 7" in capsys.readouterr().err


def unbalanced():
    """Digits in unequal shares: training, held-out, and as many again for every class."""
    share = np.array([0.5, 0.2, 0.1, 0.05, 0.05, 0.02, 0.02, 0.02, 0.02, 0.02])
    d, rng = digits("train"), np.random.default_rng(0)
    pool = [list(rng.permutation(np.flatnonzero(d.labels == c))) for c in range(10)]

    def some(counts):
        rows = [pool[c].pop() for c, n in enumerate(counts) for _ in range(n)]
        return d.subset(np.array(rows))

    def take(names):
        return some([names.count(str(c)) for c in range(10)])

    return some((share * 1000).astype(int)), some((share * 400).astype(int)), take


def test_a_perfect_model_of_unbalanced_data_scores_as_real_images():
    """Its samples are images that nobody has seen, of the classes that are asked for."""
    train, test, perfect = unbalanced()
    judge = train_classifier(train.x, train.labels, train.classes, epochs=1, width=4)
    ruler = Ruler(train, test, Whitened(train.x), judge=lambda *_: judge)
    asked = ask(OfClasses(train.classes), test, 400, train)
    samples = perfect(asked.values["label"])
    order = np.argsort(np.argsort([int(n) for n in asked.values["label"]], kind="stable"))
    x = samples.x[order]
    assert [str(k) for k in samples.labels[order]] == asked.values["label"]
    (report,) = Images().measure({0: x}, ruler, asked)
    found = {name: entry["value"] for name, entry in report["metrics"].items()}
    assert 0.8 < found["fdr"] < 1.2
    assert found["class_kl"] == pytest.approx(report["metrics"]["class_kl"]["floor"], abs=0.05)
    assert found["nearest_ratio"] == pytest.approx(1, abs=0.08)
    assert found["closer"] == pytest.approx(0.5, abs=0.06)
    assert found["coverage"] == pytest.approx(report["metrics"]["coverage"]["floor"], abs=0.05)


@pytest.mark.slow
def test_a_run_leaves_out_what_it_is_measured_on(capsys):
    points()
    assert main(["train", "points.npz", *SMALL]) == 0
    assert "held out for `demist evaluate`: 12 of 120 items" in capsys.readouterr().err
    run = runs.find("1")
    assert "hold_out = 0.1" in (run.path / "config.toml").read_text()
    assert json.loads((run.path / "summary.json").read_text())["items"] == 108
    ruler = ruler_for([open_candidate("1")])
    assert (len(ruler.train), len(ruler.test)) == (108, 12)
    assert other_data(ruler, open_candidate("1")) == []
    assert main(["train", "points.npz", "--hold-out", "0", *SMALL]) == 0
    assert "nothing is held out" in capsys.readouterr().err
    (warning,) = other_data(ruler_for([open_candidate("2")]), open_candidate("2"))
    assert warning.startswith("Seen before: 0002-points learned from all 120 items, so the 12")
    assert main(["evaluate", "2", "--n", "40", "--seeds", "2", "--steps", "1"]) == 0
    assert "Seen before" in capsys.readouterr().out


def test_a_run_of_the_past_goes_on_with_all_that_it_saw(capsys):
    points()
    assert main(["train", "points.npz", "--hold-out", "0", *SMALL]) == 0
    config = runs.find("1").path / "config.toml"
    old = re.sub(r"(hold_out = |# sha256).*\n", "", config.read_text())
    assert old != config.read_text()
    config.write_text(old)
    assert main(["train", "--resume", "1", "--steps", "2"]) == 0
    assert json.loads((runs.find("1").path / "summary.json").read_text())["items"] == 120
    assert main(["train", "--resume", "1", "--steps", "3", "--hold-out", "0.1"]) == 64
    assert "hold_out" in capsys.readouterr().err


def test_the_same_command_goes_on_with_the_same_items(monkeypatch):
    points()
    line = ["train", "points.npz", *SMALL]
    assert main(line) == 0
    run = runs.find("1")
    run.write_status("stopped")
    assert main([*line[:3], "1", *line[4:]]) == 0
    assert [r.path.name for r in runs.all_runs(Path("runs"))] == ["0001-points"]


def test_a_class_without_items_gets_no_column_and_no_sample(capsys):
    x = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    np.savez("gap.npz", x=x, y=np.arange(60) % 2 * 2 + 1)  # 1 and 3 of 0 to 3
    tiny = ["--steps", "1", "--channels-per-level", "8", "--norm-groups", "2", "--patch", "2"]
    assert main(["train", "gap.npz", *tiny, "--sample-count", "40", "--no-mid-attention"]) == 0
    assert Pipeline.from_run(runs.find("1")).facts["classes_without_items"] == ["0", "2"]
    (page,) = runs.find("1").image(1).parent.glob("*.png")
    with Image.open(page) as image:
        said = json.loads(image.info["demist"])
        assert said["label"] == ["1", "3"] * 20
        assert image.width < image.height * 1.2  # 6 columns, 7 rows
    capsys.readouterr()
    assert main(["sample", "1", "--steps", "1"]) == 0
    assert "not asked for 0, 2: the model saw none of it" in capsys.readouterr().err
    with Image.open("samples.png") as image:
        assert json.loads(image.info["demist"])["sampling"]["n"] == 16
    assert [columns_for(k, 40) for k in (1, 2, 3, 5, 10, 20, 21)] == [None, 6, 6, 5, 10, 20, None]


def test_a_report_goes_where_it_is_wanted_and_nothing_into_the_run(monkeypatch, capsys):
    points()
    assert main(["train", "points.npz", *SMALL]) == 0
    few = ["--n", "40", "--seeds", "2", "--steps", "1"]
    before = sorted(runs.find("1").path.rglob("*"))
    Path("mine").mkdir()
    assert main(["evaluate", "1", *few, "--out", "mine/first.v2"]) == 0
    assert main(["evaluate", "1", *few, "--out", "mine/first.v2.md"]) == 0
    names = ["first.v2-2.json", "first.v2-2.md", "first.v2.json", "first.v2.md"]
    assert sorted(file.name for file in Path("mine").iterdir()) == names
    assert sorted(runs.find("1").path.rglob("*")) == before
    assert main(["evaluate", "1", *few, "--out", "none/first"]) == 73
    assert "there is no folder none" in capsys.readouterr().err

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert main(["evaluate", "1", *few]) == 73
    assert "Permission denied; say another place with --out" in capsys.readouterr().err


def test_what_is_not_finite_is_not_measured():
    points()
    assert main(["train", "points.npz", *SMALL]) == 0
    broken = open_candidate("1")
    for weights in broken.pipeline.denoiser.parameters():
        weights.data.fill_(np.nan)
    with pytest.raises(NotFiniteError):
        evaluate(broken, n=40, seeds=2)


def test_likelihood_is_that_of_test_images_chosen_at_random(monkeypatch):
    seen = []

    class Enough(Exception):
        pass

    def spy(pipeline, test, rows, x):
        seen.append(rows)
        assert np.array_equal(x, test.x[rows])
        raise Enough

    monkeypatch.setattr(likelihood, "values_of_rows", spy)
    for seed in (0, 0, 1):
        with pytest.raises(Enough):
            likelihood.measure_likelihood(Pipeline.load("digits"), digits("test"), 20, seed)
    assert seen[0] == seen[1] != seen[2]
    assert len({*digits("test").labels[seen[0]].tolist()}) > 5
    assert len(set(seen[0])) == 20
    assert max(seen[0]) > 1000


def test_what_is_measured_later_is_kept_in_the_summary():
    points()
    assert main(["train", "points.npz", *SMALL]) == 0
    run, found = runs.find("1"), LabelAccuracy(0.9, 100, 0.99)
    assert str(found) == (
        "label accuracy 90.0 % ± 3.0 on 100 samples, by an independent classifier; of real ones "
        "it recognises 99.0 %"
    )
    runs.add_to_summary(run, {"label_accuracy": found.share, "label_accuracy_measured": str(found)})
    summary = json.loads((run.path / "summary.json").read_text())
    assert (summary["label_accuracy"], summary["items"]) == (0.9, 108)
    assert (
        "| label accuracy measured | label accuracy 90.0 %" in (run.path / "summary.md").read_text()
    )
