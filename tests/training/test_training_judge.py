"""The judge learns, repeats itself, survives the disk, and refuses what is not its own."""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from demist.errors import DataError, MissingError
from demist.evaluation.judge.classifier import Classifier, Network, softmax
from demist.evaluation.metrics.accuracy import accuracy_of, label_accuracy
from demist.training import judge as classifier_training
from demist.training.judge import (
    default_classifier,
    draw_moves,
    fingerprint_of,
    move,
    one_cycle,
    train_classifier,
)

CLASSES = ("flat", "rows", "columns")


def patterns(n, seed, shape=(1, 12, 12)):
    """Three easy classes: noise alone, with stripes one way, with stripes the other way."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    rows, columns = (60.0 * (axis % 4 < 2) for axis in np.indices(shape[1:]))
    base = np.stack([0 * rows, rows, columns])
    noise = rng.normal(90, 30, (n, *shape))
    x = (noise + base[labels][:, None]).clip(0, 255)
    return x.astype(np.uint8), labels.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Pictures:
    x: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...] = CLASSES

    @property
    def fingerprint(self):
        return fingerprint_of(self.x, np.zeros(0) if self.labels is None else self.labels)


@pytest.fixture(scope="module")
def judge():
    return train_classifier(*patterns(600, 0), CLASSES, epochs=8, width=4, test=patterns(200, 1))


def test_it_learns(judge):
    x, labels = patterns(300, 2)
    assert label_accuracy(judge, x, labels).overall > 0.97
    assert judge.card.accuracy > 0.97
    assert judge.logits(x).shape == (300, 3)
    np.testing.assert_allclose(judge.probabilities(x).sum(1), 1)


def test_the_card_says_where_it_comes_from(judge):
    card = judge.card
    assert (card.recipe, card.shape, card.classes) == ("demist-cnn-2", (1, 12, 12), CLASSES)
    assert (card.width, card.epochs, card.seed) == (4, 8, 0)
    assert card.data == fingerprint_of(*patterns(600, 0))
    assert card.weights[:12] in str(card)
    assert f"{100 * card.accuracy:.2f} %" in str(card)


def test_features_are_the_layer_before_the_logits(judge):
    x, _ = patterns(40, 3)
    features = judge.features(x)
    assert features.shape == (40, judge.network.head.in_features)
    np.testing.assert_allclose(judge.head(features), judge.logits(x), rtol=1e-5, atol=1e-5)


def test_spatial_features_stand_behind_the_features(judge):
    x, _ = patterns(40, 3)
    both = judge.see(x)
    assert both.shape == (40, judge.dimension + 7 * 3 * 3)  # 12 pixels, halved twice
    np.testing.assert_allclose(both[:, : judge.dimension], judge.features(x), rtol=1e-6)
    maps = judge.network._maps(torch.from_numpy(x).float() / 127.5 - 1)[0]
    np.testing.assert_allclose(both[0, judge.dimension :], maps[0, :7].flatten(), rtol=1e-4)


def test_the_spatial_distance_sees_places():
    """A spot left and a spot right: the channel means agree, as far as borders let them."""

    def spots(column):
        x = np.random.default_rng(column).integers(0, 9, (300, 1, 32, 32)).astype(np.uint8)
        x[:, :, 12:20, column : column + 8] += 200
        return x

    network = Network((1, 32, 32), 2, width=4).eval()
    x, y = (network.both(torch.from_numpy(spots(c)).float() / 127.5 - 1) for c in (4, 20))
    d = network.head.in_features
    step = ((x.mean(0) - y.mean(0)) ** 2).detach()
    assert step[d:].sum() > 20 * step[:d].sum()


@pytest.mark.parametrize("size", [1, 7, 256, 300])
def test_batches_leave_no_trace(judge, size):
    x, _ = patterns(513, 4)
    parts = [judge.features(x[i : i + size]) for i in range(0, 2 * size, size)]
    np.testing.assert_allclose(np.concatenate(parts), judge.features(x)[: 2 * size], rtol=2e-5)
    if size == 256:  # the internal blocks: equal to the last bit
        np.testing.assert_array_equal(np.concatenate(parts), judge.features(x)[: 2 * size])


def test_a_seed_fixes_the_weights_and_nothing_else():
    x, labels = patterns(150, 0)
    state = torch.get_rng_state()
    a, b, c = (
        train_classifier(x, labels, CLASSES, epochs=1, width=4, seed=seed).card.weights
        for seed in (5, 5, 6)
    )
    assert a == b != c
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64), (3, 8, 8), (4, 33, 20), (1, 2, 2)])
def test_any_size_and_channels(shape):
    network = Network(shape, 5, width=4).eval()
    x = torch.randn(2, *shape)
    assert network(x).shape == (2, 5)
    fine, coarse = [], []
    network.down[-1].register_forward_hook(lambda m, i, out: fine.append(out))
    network.refine[-1].register_forward_hook(lambda m, i, out: coarse.append(out))
    features = network.features(x)
    assert max(coarse[0].shape[2:]) <= 8
    torch.testing.assert_close(
        features, torch.cat([fine[0].mean((2, 3)), coarse[0].mean((2, 3))], 1)
    )


def test_training_works_for_colour_and_few_images():
    x, labels = patterns(40, 0, (3, 20, 16))
    judge = train_classifier(x, labels, CLASSES, epochs=2, width=4)
    assert judge.features(x).shape[0] == 40
    assert judge.card.accuracy is None


def test_the_work_does_not_grow_with_the_data(monkeypatch):
    monkeypatch.setattr(classifier_training, "PIXELS_SEEN", 300 * 144)
    for n, epochs in ((100, 3), (200, 2), (700, 1), (3, 40)):
        assert train_classifier(*patterns(n, 0), CLASSES, width=2).card.epochs == epochs


def test_progress_is_told():
    told = []
    train_classifier(
        *patterns(260, 0), CLASSES, epochs=2, width=2, progress=lambda *step: told.append(step)
    )
    assert [step[:2] for step in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(0 < loss < 5 for _, _, loss in told)


def test_the_learning_rate_goes_up_and_down():
    assert one_cycle(0) == pytest.approx(0.04)
    assert one_cycle(0.1) == pytest.approx(0.52)
    assert one_cycle(0.2) == pytest.approx(1)
    assert one_cycle(0.6) == pytest.approx(0.5)
    assert one_cycle(1) == pytest.approx(0)


def test_augmentation_is_mild():
    x = torch.zeros(64, 1, 25, 25)
    x[:, :, 12, 12] = 1
    moved = move(x, draw_moves(64, np.random.default_rng(0)))
    spot = moved.flatten(1).argmax(1)
    shift = torch.stack([spot // 25 - 12, spot % 25 - 12])
    assert shift.abs().max() == 2  # 8 % of 25
    assert shift.float().mean(1).abs().max() < 0.5
    assert len(spot.unique()) > 5


def test_there_and_back_again(judge, tmp_path):
    x, _ = patterns(20, 5)
    judge.save(tmp_path / "judge.safetensors")
    state = torch.get_rng_state()
    back = Classifier.load(tmp_path / "judge.safetensors")
    assert back.card == judge.card
    np.testing.assert_array_equal(back.features(x), judge.features(x))
    assert torch.equal(state, torch.get_rng_state())
    assert [p.name for p in tmp_path.iterdir()] == ["judge.safetensors"]


def test_bad_files_are_refused(judge, tmp_path):
    path = tmp_path / "judge.safetensors"
    with pytest.raises(MissingError, match="no classifier at"):
        Classifier.load(path)
    judge.save(path)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(DataError, match="damaged"):
        Classifier.load(path)
    for content in (b"", good[:-50], b"\x80\x04pickle"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is not a classifier"):
            Classifier.load(path)
    path.write_bytes(good)
    tensors = load_file(path)
    save_file(tensors, path)
    with pytest.raises(DataError, match="is not a classifier"):
        Classifier.load(path)
    card = dataclasses.asdict(judge.card) | {"width": 8}
    save_file(tensors, path, {"classifier": json.dumps(card)})
    with pytest.raises(DataError, match="is not a classifier"):
        Classifier.load(path)


def test_other_images_are_refused(judge):
    with pytest.raises(DataError, match=r"1x12x12 images .* cannot judge 3x12x12"):
        judge.features(patterns(3, 0, (3, 12, 12))[0])


def test_labels_must_fit(judge):
    x, labels = patterns(10, 0)
    with pytest.raises(DataError, match="10 images but 9 labels"):
        train_classifier(x, labels[:9], CLASSES)
    with pytest.raises(DataError, match=r"0 \.\. 2 do not fit 2 classes"):
        train_classifier(x, np.arange(10) % 3, CLASSES[:2])
    with pytest.raises(DataError, match="fewer than 2"):
        train_classifier(x[:1], labels[:1], CLASSES)
    with pytest.raises(DataError, match="do not fit"):
        label_accuracy(judge, x, np.full(10, 3))


def test_the_default_is_trained_once(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier_training, "PIXELS_SEEN", 100 * 144)
    data, test = Pictures(*patterns(100, 0)), Pictures(*patterns(50, 1))
    steps = []
    first = default_classifier(
        data, tmp_path / "new", test=test, progress=lambda *a: steps.append(a)
    )
    (path,) = (tmp_path / "new").iterdir()
    assert steps
    assert first.card.data == data.fingerprint
    assert first.card.accuracy is not None

    steps.clear()
    again = default_classifier(data, path.parent, test=test, progress=lambda *a: steps.append(a))
    assert (again.card, steps) == (first.card, [])

    other = default_classifier(Pictures(*patterns(100, 9)), path.parent, test=test)
    assert other.card.data != first.card.data
    default_classifier(data, path.parent, test=test, seed=1)
    monkeypatch.setattr(classifier_training, "RECIPE", "demist-cnn-next")
    default_classifier(data, path.parent, test=test)
    assert len(list(path.parent.iterdir())) == 4


def test_a_damaged_default_is_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier_training, "PIXELS_SEEN", 100 * 144)
    data = Pictures(*patterns(100, 0))
    first = default_classifier(data, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-8])
    assert default_classifier(data, tmp_path).card == first.card
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, f"bad-{path.name}"])


def test_data_without_labels_has_no_judge(tmp_path):
    with pytest.raises(DataError, match="no labels"):
        default_classifier(Pictures(patterns(5, 0)[0], None), tmp_path)


def test_accuracy_class_by_class():
    found = np.array([0, 0, 2, 2, 2, 0, 2])
    asked = np.array([0, 0, 0, 0, 0, 2, 2])
    result = accuracy_of(found, asked, CLASSES)
    assert result.overall == pytest.approx(3 / 7)
    assert [dataclasses.astuple(row) for row in result.classes] == [
        ("flat", 5, 0.4, "columns"),
        ("columns", 2, 0.5, "flat"),
    ]
    assert "| flat | 5 | 40.0 % | columns |" in result.markdown()
    perfect = accuracy_of(asked, asked, CLASSES)
    assert perfect.overall == 1
    assert perfect.classes[0].mistaken_for == ""


def test_softmax_does_not_overflow():
    np.testing.assert_allclose(softmax(np.array([[1e4, 0.0], [0.0, 0.0]])), [[1, 0], [0.5, 0.5]])
