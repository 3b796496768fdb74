"""Equality with other people's programs on the same features; skipped where they are absent.

pip install prdc torchmetrics torch-fidelity torchvision vendi-score
pytest -rs tests/evaluation/test_eval_peers.py tests/evaluation/test_eval_pretrained.py
"""

import numpy as np
import pytest
import torch

from demist.evaluation.metrics.frechet import Moments, frechet_distance
from demist.evaluation.metrics.inception_score import inception_score
from demist.evaluation.metrics.kernel import kernel_distance, kernel_distance_subsets
from demist.evaluation.metrics.precision_recall import precision_recall
from demist.evaluation.metrics.vendi import vendi_score

RNG = np.random.default_rng


@pytest.fixture
def sets():
    mixing = RNG(0).standard_normal((24, 24)) / 5
    real = RNG(1).standard_normal((500, 24)) @ mixing
    return real, 0.8 * RNG(2).standard_normal((400, 24)) @ mixing + 0.1


class Flat(torch.nn.Module):
    """Features that come as they are, for programs that insist on a network."""

    num_features = 24

    def forward(self, x):
        return x


def test_prdc(sets, capsys):
    prdc = pytest.importorskip("prdc")
    real, generated = sets
    found = vars(precision_recall(real, generated, k=5))
    assert found == pytest.approx(prdc.compute_prdc(real, generated, 5), rel=1e-9)


def test_torchmetrics_frechet(sets):
    image = pytest.importorskip("torchmetrics.image.fid")
    metric = image.FrechetInceptionDistance(feature=Flat(), normalize=False)
    metric.set_dtype(torch.float64)
    metric.used_custom_model = True
    real, generated = sets
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(generated), real=False)
    found = frechet_distance(Moments.of(real), Moments.of(generated))
    assert found == pytest.approx(float(metric.compute()), rel=1e-4)


def test_torch_fidelity_frechet(sets):
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    real, generated = (torch.from_numpy(x) for x in sets)
    theirs = fid.fid_statistics_to_metric(
        fid.fid_features_to_statistics(real), fid.fid_features_to_statistics(generated), False
    )["frechet_inception_distance"]
    found = frechet_distance(*(Moments.of(x) for x in sets))
    assert found == pytest.approx(theirs, rel=1e-4)


def test_torchmetrics_kernel(sets):
    kid = pytest.importorskip("torchmetrics.image.kid")
    real, generated = (torch.from_numpy(x) for x in sets)
    theirs = float(kid.poly_mmd(real[:400], generated))
    assert kernel_distance(sets[0][:400], sets[1]) == pytest.approx(theirs, rel=1e-4)


def test_torch_fidelity_kernel(sets):
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    theirs = kid.kid_features_to_metric(
        torch.from_numpy(sets[0]), torch.from_numpy(sets[1]), kid_subsets=300, kid_subset_size=200,
        kid_degree=3, kid_gamma=None, kid_coef0=1, rng_seed=0, verbose=False,
    )  # fmt: skip
    ours = kernel_distance_subsets(*sets, subsets=300, size=200)
    error = theirs["kernel_inception_distance_std"] / 300**0.5
    assert abs(ours.mean() - theirs["kernel_inception_distance_mean"]) < 5 * error
    assert ours.std() == pytest.approx(theirs["kernel_inception_distance_std"], rel=0.2)


def test_torch_fidelity_inception_score():
    isc = pytest.importorskip("torch_fidelity.metric_isc")
    logits = 3 * RNG(0).standard_normal((200, 10))
    theirs = isc.isc_features_to_metric(torch.from_numpy(logits), 1, False)
    p = np.exp(logits)
    found = inception_score(p / p.sum(1, keepdims=True))
    assert found == pytest.approx(theirs["inception_score_mean"], rel=1e-6)


def test_vendi(sets):
    vendi = pytest.importorskip("vendi_score.vendi")
    x = sets[0]
    assert vendi_score(x) == pytest.approx(vendi.score_dual(x, normalize=True), rel=1e-6)
