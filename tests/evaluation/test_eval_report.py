"""The whole table: what each fault does to it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from demist.codecs import Codec, Pixels
from demist.data import Dataset
from demist.errors import DataError
from demist.evaluation.metrics import ImageMetric, rows_of
from demist.evaluation.metrics.frechet import Moments, frechet_distance
from demist.evaluation.metrics.psnr import psnr
from demist.evaluation.metrics.vendi import vendi_score
from demist.evaluation.reference import Reference
from demist.evaluation.report import evaluate, of_one, over_seeds
from demist.evaluation.report import measure as measure_set
from demist.evaluation.ruler import Asked, Ruler
from demist.evaluation.tables import markdown
from demist.measuring.evaluate import Evaluation
from demist.modalities import Images
from demist.modalities.through_codec import sentence, through_codec
from demist.training.judge import train_classifier

sys.path.append(str(Path(__file__).parent))
from whitened import Whitened

CLASSES = ("flat", "rows", "columns")


def draw(n, seed, classes=3):
    """Noisy stripes of random phase and height, in equally many of each class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    wave = np.cos(np.arange(12) * 0.8 + rng.uniform(0, 6.28, (n, 1))) * rng.uniform(40, 80, (n, 1))
    stripes = np.where(
        (labels == 1)[:, None, None],
        wave[:, :, None],
        wave[:, None, :] * (labels == 2)[:, None, None],
    )
    noise = rng.normal(128, 12, (n, 12, 12))
    return np.rint(noise + stripes).clip(0, 255).astype(np.uint8)[:, None], labels.astype(np.int64)


@pytest.fixture(scope="module")
def setting():
    (train, train_labels), (test, test_labels) = draw(700, 0), draw(400, 1)
    judge = train_classifier(
        train, train_labels, CLASSES, epochs=6, width=4, test=(test, test_labels)
    )
    return judge, train, test, train_labels, test_labels


def measure(setting, images, labels=None, **options):
    judge, train, test, train_labels, test_labels = setting
    return evaluate(
        judge, images, train, test, labels=labels, train_labels=train_labels,
        test_labels=test_labels, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def perfect(setting):
    return measure(setting, *draw(400, 2))


def values(report):
    return {name: entry["value"] for name, entry in report["metrics"].items()}


def floors(report):
    return {name: entry["floor"] for name, entry in report["metrics"].items()}


def test_perfect_samples_score_as_the_floor(perfect):
    v, f = values(perfect), floors(perfect)
    assert f["fdr"] == 1
    assert abs(v["kid"]) < 5 * abs(f["fd"]) * 1000
    for name in ("precision", "recall", "coverage", "density", "label_accuracy", "authenticity"):
        assert v[name] == pytest.approx(f[name], abs=0.12), name
    assert v["vendi"] == pytest.approx(f["vendi"], rel=0.1)
    assert v["sharpness"] == pytest.approx(f["sharpness"], rel=0.1)
    assert v["closer"] == pytest.approx(0.5, abs=0.06)
    assert v["copies"] < 0.02
    assert perfect["protocol"]["compared"] == 400
    assert not any("Memorisation" in w for w in perfect["warnings"])


def test_fdr_of_perfect_samples_is_one(setting):
    """Whatever the judge: features of many equal directions, whose distance hardly fluctuates."""
    judge, train, test, *_ = setting
    reference = Reference.of(judge, train, test, generated=400, extractor=Whitened(train, 30))
    for seed in (2, 3, 4):
        assert 0.8 < values(measure_set(reference, draw(400, seed)[0]))["fdr"] < 1.2
    assert values(measure_set(reference, draw(400, 2, classes=2)[0]))["fdr"] > 2


def test_a_distance_is_one_of_those_of_fresh_images(setting, perfect):
    """Of 20 sets of the same kind none is special, whatever the judge looks at."""
    judge, train, *_ = setting
    known = Moments.of(judge.features(train))
    fresh = [
        frechet_distance(Moments.of(judge.features(draw(400, seed)[0])), known)
        for seed in range(10, 29)
    ]
    for distance in (values(perfect)["fd"], floors(perfect)["fd"]):
        assert min(fresh) / 2 < distance < 2 * max(fresh)


def test_the_test_set_scores_exactly_the_floor(setting):
    _, _, test, _, test_labels = setting
    report = measure(setting, test, test_labels)
    for name, entry in report["metrics"].items():
        assert entry["value"] == pytest.approx(entry["floor"], rel=1e-9, abs=1e-9), name


def test_diversity_is_around_the_mean_of_the_training_images(setting, perfect):
    judge, train, *_ = setting
    centred = judge.features(draw(400, 2)[0]) - judge.features(train).mean(0)
    assert values(perfect)["vendi"] == pytest.approx(vendi_score(centred), rel=1e-5)


def test_noise_is_seen(setting, perfect):
    x, labels = draw(400, 2)
    noisy = x + np.random.default_rng(0).normal(0, 25, x.shape)
    v = values(measure(setting, np.rint(noisy).clip(0, 255).astype(np.uint8), labels))
    assert v["fdr"] > 5
    assert v["precision"] < values(perfect)["precision"] - 0.2
    assert v["sharpness"] > 1.3 * values(perfect)["sharpness"]


def test_a_missing_class_is_seen(setting, perfect):
    v, before = values(measure(setting, *draw(400, 2, classes=2))), values(perfect)
    assert v["fdr"] > 5
    assert v["recall"] < before["recall"] - 0.15
    assert v["precision"] > before["precision"] - 0.1
    assert v["class_kl"] == pytest.approx(np.log(1.5), abs=0.05)
    assert before["class_kl"] < 0.02
    assert v["inception_score"] < before["inception_score"]


def test_a_memoriser_wins_the_distance_and_is_caught(setting, perfect):
    _, train, *_ = setting
    report = measure(setting, train[:400])
    v = values(report)
    assert v["fdr"] < values(perfect)["fdr"]
    assert (v["nearest_ratio"], v["closer"], v["copies"], v["authenticity"]) == (0, 1, 1, 0)
    assert any(w.startswith("Memorisation: 100.0 %") for w in report["warnings"])
    assert any(w.startswith("FDr is well below 1") for w in report["warnings"])


def test_wrong_labels_are_seen(setting):
    x, labels = draw(400, 2)
    report = measure(setting, x, (labels + 1) % 3)
    assert values(report)["label_accuracy"] < 0.1
    assert report["classes"][0]["mistaken_for"] == "columns"
    assert values(measure(setting, x))["label_accuracy"] is None


def test_it_is_plain_json_and_repeats_itself(setting, perfect):
    text = json.dumps(perfect, allow_nan=False)
    assert json.loads(text) == perfect
    assert measure(setting, *draw(400, 2)) == perfect


def test_unequal_counts_are_compared_at_the_smallest(setting):
    report = measure(setting, draw(600, 2)[0])
    assert report["protocol"]["compared"] == 400
    few = measure(setting, draw(30, 2)[0])
    assert few["protocol"]["compared"] == 30
    assert values(few)["fd_limit"] is None
    assert any("Few samples" in w for w in few["warnings"])


def test_the_markdown_table(setting, perfect):
    text = markdown(perfect)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(rows_of(ImageMetric))
    assert len({line.count("|") for line in table}) == 1
    judge = setting[0]
    assert str(judge.card) in text
    assert f"| FDr | {perfect['metrics']['fdr']['value']:.2f} | 1.00 | 1 |" in text
    assert "Bias: at N = 400" in text
    assert "| label accuracy | – |" in markdown(measure(setting, draw(30, 2)[0]))


def test_seeds_have_a_mean_and_a_spread(setting, perfect):
    reports = [perfect, measure(setting, *draw(400, 3)), measure(setting, *draw(400, 4))]
    both = over_seeds(reports)
    fdr = [values(r)["fdr"] for r in reports]
    assert values(both)["fdr"] == pytest.approx(np.mean(fdr))
    assert both["metrics"]["fdr"]["spread"] == pytest.approx(np.std(fdr, ddof=1))
    assert f"{np.mean(fdr):.2f} ± {np.std(fdr, ddof=1):.2f}" in markdown(both)
    with pytest.raises(DataError, match="at least 2"):
        over_seeds(reports[:1])
    one = of_one(reports[0])
    assert one["metrics"]["fdr"]["value"] == reports[0]["metrics"]["fdr"]["value"]
    assert one["metrics"]["fdr"]["spread"] is None
    assert len(one["protocol"]["seeds"]) == 1
    table = markdown(one)
    assert "±" not in table
    assert "1 set (seed " in table
    assert "one seed shows no spread" in table
    with pytest.raises(DataError, match="different ways"):
        over_seeds([perfect, measure(setting, *draw(300, 3))])


def test_one_reference_serves_many_sets(setting, perfect):
    judge, train, test, train_labels, test_labels = setting
    reference = Reference.of(
        judge, train, test, generated=400, train_labels=train_labels, test_labels=test_labels
    )
    images, labels = draw(400, 2)
    assert measure_set(reference, draw(400, 3)[0])["metrics"] != perfect["metrics"]
    assert measure_set(reference, images, labels=labels) == perfect


def test_another_extractor_and_the_same_judge(setting, perfect):
    class Thumbnails:
        recipe, dimension = "thumbnails of 6 x 6", 36

        def see(self, x):
            return x.reshape(len(x), 6, 2, 6, 2).mean((2, 4)).reshape(len(x), -1).astype("f4")

    judge, train, test, train_labels, _ = setting
    reference = Reference.of(
        judge, train, test, generated=400, extractor=Thumbnails(), train_labels=train_labels
    )
    images, labels = draw(400, 2)
    report = measure_set(reference, images, labels=labels)
    assert report["protocol"]["features"] == "thumbnails of 6 x 6"
    assert values(report)["sfd"] is None
    for name in ("label_accuracy", "inception_score", "class_kl"):
        assert values(report)[name] == pytest.approx(values(perfect)[name], abs=1e-6)
    assert values(report)["fd"] != values(perfect)["fd"]
    assert "Labels and Inception Score: demist-cnn-2" in markdown(report)


def test_too_few_images(setting):
    with pytest.raises(DataError, match="5 generated, 700 training and 400 test"):
        measure(setting, draw(5, 2)[0])


class Darker(Codec):
    """Loses the last 20 grey levels of every number."""

    lossless = False

    def encode(self, x, noise=None):
        return x.float()

    def decode(self, z):
        return (z - 20).clamp(min=0).to(torch.uint8)


def test_through_a_codec(setting):
    judge, train, test, _, _ = setting
    reference = Reference.of(judge, train, test, generated=len(test))
    exact = through_codec(Pixels(), reference)
    assert (exact["psnr"], exact["same_label"]) == (np.inf, 1)
    assert exact["fd"] == reference.floor["fd"]
    found = through_codec(Darker(), reference)
    lost = np.minimum(test, 20).astype(float)  # darker than that is black
    assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / np.square(lost).mean()))
    assert found["fdr"] > 1.05
    half = Reference.of(judge, train, test, generated=200)
    assert through_codec(Pixels(), half)["fdr"] == 1
    assert f"{found['psnr']:.1f} dB" in sentence(found)


def test_psnr_has_known_values():
    black, white = np.zeros((2, 1, 2, 2), np.uint8), np.full((2, 1, 2, 2), 255, np.uint8)
    assert psnr(black, white) == 0
    assert psnr(white, white) == np.inf
    mixed = white.copy()
    mixed[0] -= 51  # half of the numbers off by a fifth: MSE (255 / 5)^2 / 2
    assert psnr(white, mixed) == pytest.approx(10 * np.log10(50))
    with pytest.raises(DataError, match="no pairs"):
        psnr(white[:0], white[:0])


def test_a_lossy_codec_is_reported_beside_the_samples(setting):
    judge, train, test, train_labels, test_labels = setting
    data = (Dataset(train, train_labels, CLASSES), Dataset(test, test_labels, CLASSES))
    ruler = Ruler(*data, judge=lambda *_: judge)
    asked = Asked({"label": list(CLASSES)}, [], "asked for every class in turn")
    sets = {seed: draw(90, seed)[0] for seed in (2, 3)}
    plain = Images().measure(sets, ruler, asked, Pixels())
    through = Images().measure(sets, ruler, asked, Darker())
    assert all("codec" not in report for report in plain)
    assert through[0]["codec"] == through[1]["codec"]
    assert through[0]["codec"]["psnr"] > 20
    assert [report["metrics"] for report in through] == [report["metrics"] for report in plain]
    sampling = {"steps": 1, "solver": "ddim", "guidance": 1, "precision": "fp32", "asked": "-"}
    model = {"sha256": "0" * 64}
    report = over_seeds(through) | {"codec": through[0]["codec"]}
    assert "Through the codec" in str(Evaluation("x", "1", model, sampling, {}, report))
    assert "codec" not in str(Evaluation("x", "1", model, sampling, {}, over_seeds(plain)))
