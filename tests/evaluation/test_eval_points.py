"""The report on points: distance, and modes where the classes are modes."""

import numpy as np
import pytest

from demist.data.readers.toy import draw
from demist.errors import DataError
from demist.evaluation.metrics.points import measure_points


def sets(name):
    return draw(name, 4000, "train", 0), draw(name, 4000, "test", 0)


def values(report):
    return {name: entry["value"] for name, entry in report["metrics"].items()}


def test_real_points_score_as_the_floor():
    train, test = sets("25-gaussians")
    fresh = draw("25-gaussians", 4000, "valid", 0).x
    report = measure_points(fresh, train.x, test.x, test.labels)
    found, floor = values(report), {k: e["floor"] for k, e in report["metrics"].items()}
    assert found["sliced_wasserstein"] == pytest.approx(floor["sliced_wasserstein"], abs=0.06)
    assert found["missing"] == floor["missing"] == 0
    assert found["mode_kl"] == pytest.approx(floor["mode_kl"], rel=0.7)  # 24 / (2 * 4000) = 0.003
    assert floor["mode_kl"] == pytest.approx(0.003, rel=0.05)
    assert found["stray"] < 0.02


def test_a_lost_mode_and_stray_points_are_seen():
    train, test = sets("25-gaussians")
    kept = train.x[train.labels != 7]
    found = values(measure_points(kept, train.x, test.x, test.labels))
    assert found["missing"] == 1
    assert found["mode_kl"] == pytest.approx(np.log(25 / 24), abs=0.005)
    bridge = train.x * np.where(np.arange(4000) % 10 == 0, 0.8, 1.0)[:, None].astype(np.float32)
    assert values(measure_points(bridge, train.x, test.x, test.labels))["stray"] > 0.04


def test_arcs_are_not_modes():
    train, test = sets("moons")
    assert set(values(measure_points(train.x, train.x, test.x, test.labels))) == {
        "sliced_wasserstein"
    }


def test_points_are_needed():
    train, test = sets("moons")
    with pytest.raises(DataError, match="0 points"):
        measure_points(train.x[:0], train.x, test.x)
