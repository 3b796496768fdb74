"""`fit` random: each image is cut in a place of its own, the same whenever it is read, and told."""

import numpy as np
import pytest
from PIL import Image

from demist.config import DataConfig, TrainConfig, update
from demist.data import Rules, decode, load
from demist.data.images import store
from demist.errors import UsageError
from demist.io.untrusted import read_small
from demist.modalities.named import part
from demist.training.build import build

SIDE, LONG = 8, 24


def wide(i):
    """8 x 24, or 24 x 8 for odd numbers; brighter with each column or row, its number elsewhere."""
    x = np.repeat(np.arange(LONG, dtype=np.uint8)[None] * 8, SIDE, 0)
    x = x.T.copy() if i % 2 else x.copy()
    x[0, 0] = x[-1, -1] = 200 + i
    return x


@pytest.fixture
def folder(tmp_path):
    for i in range(40):
        Image.fromarray(wide(i)).save(tmp_path / f"{i:02}.png")
    return tmp_path


def first_seen(x):
    """Where each was cut, as its pixels say it: (top, left)."""
    middle = x[:, 0, SIDE // 2, :], x[:, 0, :, SIDE // 2]
    rows = [(int(c[1]) // 8 - 1, int(r[1]) // 8 - 1) for r, c in zip(*middle, strict=True)]
    return [[0, left] if i % 2 == 0 else [top, 0] for i, (top, left) in enumerate(rows)]


def test_the_corner_that_is_told_is_where_the_image_was_cut(folder):
    data = load(str(folder), size=SIDE, fit="random", sizes=True)
    corners = data.columns["crop"].values
    assert corners.tolist() == first_seen(data.x)
    along = corners.max(1)
    assert len(set(along)) > 8
    assert 0 <= along.min() < along.max() <= LONG - SIDE
    assert "33 % is kept, cut out anywhere" in data.report.paragraph()


def test_all_places_are_equally_likely():
    rules = Rules(size=SIDE, fit="random")
    places = np.array([rules.place(f"image {i}".encode()) for i in range(20_000)])
    for u in places.T:
        counts = np.bincount((u * 17).astype(int), minlength=17)
        assert len(counts) == 17
        assert ((counts - 20_000 / 17) ** 2 / (20_000 / 17)).sum() < 39.3  # chi2(16), p = 0.001
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.03
    assert Rules(fit="crop").place(b"image") is None


def test_a_cut_depends_on_seed_and_image_alone(folder, tmp_path_factory):
    how = {"size": SIDE, "fit": "random", "sizes": True}
    data = load(str(folder), **how)
    again, other = load(str(folder), **how), load(str(folder), seed=1, **how)
    np.testing.assert_array_equal(data.x, again.x)
    assert data.fingerprint == again.fingerprint  # by which latents are kept
    assert len({d.fingerprint for d in (data, other, load(str(folder), size=SIDE))}) == 3
    apart = tmp_path_factory.mktemp("few")
    for i in (7, 31):
        (apart / f"renamed{i:02}.png").write_bytes((folder / f"{i:02}.png").read_bytes())
    np.testing.assert_array_equal(load(str(apart), **how).x, data.x[[7, 31]])


def test_images_that_stay_on_the_disk_are_cut_alike(folder, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path_factory.mktemp("cache")))
    how = {"size": SIDE, "fit": "random", "sizes": True}
    held = load(str(folder), **how)
    monkeypatch.setattr(store, "fits", lambda shape: False)
    for _ in range(2):  # surveyed, then recalled
        stored = load(str(folder), **how)
        assert stored.lazy
        np.testing.assert_array_equal(stored.x[:], held.x)
        assert stored.fingerprint == held.fingerprint
        np.testing.assert_array_equal(stored.columns["crop"].values, held.columns["crop"].values)


def test_arrays_are_cut_and_told_alike(tmp_path):
    x = np.stack([wide(2 * i)[None] for i in range(20)])
    np.savez(tmp_path / "x.npz", x=x)
    data = load(str(tmp_path / "x.npz"), size=SIDE, fit="random", sizes=True)
    left = data.columns["crop"].values[:, 1].astype(int)
    assert len(set(left)) > 5
    for i in range(20):
        np.testing.assert_array_equal(data.x[i, 0], x[i, 0][:, left[i] : left[i] + SIDE])


def test_corners_are_those_of_the_image_as_it_is_now(tmp_path):
    """Twice as large before: corners are counted after resizing."""
    for i in range(12):
        Image.fromarray(np.kron(wide(2 * i), np.ones((2, 2), np.uint8))).save(tmp_path / f"{i}.png")
    data = load(str(tmp_path), size=SIDE, fit="random", sizes=True)
    left = data.columns["crop"].values[:, 1]
    seen = data.x[:, 0, 4, 4].astype(float) / 8 - 4  # half a column off where cut between two
    assert np.abs(seen - left).max() <= 0.6
    assert data.columns["original_size"].values.tolist() == [[16, 48]] * 12


def test_images_that_belong_to_others_are_refused(tmp_path):
    images = {f"{i}.png": wide(0) for i in range(3)} | {f"{i}.mask.png": wide(0) for i in range(3)}
    for name, pixels in images.items():
        Image.fromarray(pixels).save(tmp_path / name)
    assert load(str(tmp_path), size=SIDE).columns["mask"].kind == "mask"
    with pytest.raises(UsageError, match="has images that belong to others"):
        load(str(tmp_path), size=SIDE, fit="random")


def test_runs_learn_what_is_told_unless_it_would_be_wrong(folder):
    options = DataConfig(path=str(folder), size=SIDE, fit="random", sizes=True)
    data = part(options, "train")
    small = {"channels_per_level": [8], "head_dim": 8, "norm_groups": 2, "batch_size": 4}
    config = update(TrainConfig(data=options), {**small, "device": "cpu"})
    batch = build(config, data).batches
    told = [row for step in range(10) for row in batch(step).cond["crop"].tolist()]
    hidden = [row for row in told if row == [-1.0, -1.0]]
    assert {tuple(row) for row in told} - {(-1.0, -1.0)} <= {
        tuple(row) for row in data.columns["crop"].values.tolist()
    }
    assert len(hidden) < len(told)
    np.testing.assert_array_equal(batch(3).x0, build(config, part(options, "train")).batches(3).x0)
    with pytest.raises(UsageError, match="crop would name the wrong corner"):
        build(update(config, {"flip": True}), data)
    build(update(config, {"flip": True, "fit": "crop"}), data)
    build(update(config, {"flip": True, "sizes": False}), data)


def test_a_cut_of_a_file_is_that_of_its_bytes(folder):
    data = read_small(folder / "02.png", 10_000)
    rules = Rules(size=SIDE, fit="random")
    left = int(rules.place(data)[1] * (LONG - SIDE + 1))
    np.testing.assert_array_equal(decode(data, rules)[0], wide(2)[:, left : left + SIDE])
