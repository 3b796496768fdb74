"""`demist evaluate` of a codec: what it loses, beside the best linear code and real images."""

import json

import numpy as np
import pytest

from demist import cli
from demist.config import TrainConfig, update
from demist.errors import DataError
from demist.evaluation.metrics.ssim import C1, ssim
from demist.measuring.codecs import evaluate_codec, is_codec
from demist.training.run import train


def noisy(shape=(3, 2, 24, 20), seed=0):
    return np.random.default_rng(seed).integers(40, 200, shape).astype(np.uint8)


def test_ssim_in_closed_form():
    x = noisy()
    assert ssim(x, x) == pytest.approx(1, abs=1e-12)
    flat = np.full((2, 1, 16, 16), 50, np.uint8)
    wanted = (2 * 50 * 90 + C1) / (50**2 + 90**2 + C1)
    assert ssim(flat, flat + 40) == pytest.approx(wanted, abs=1e-12)
    # A constant shift keeps contrast and pattern: only the means differ, window by window.
    assert ssim(x, x + 40) > 0.9 * wanted
    assert ssim(x, 255 - x) < 0
    assert ssim(noisy((2, 1, 6, 6)), noisy((2, 1, 6, 6))) == pytest.approx(1)
    with pytest.raises(DataError, match="no pairs"):
        ssim(x[:0], x[:0])


def test_ssim_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    x, y = noisy(), noisy(seed=1) // 2 + noisy() // 2
    theirs = [
        metrics.structural_similarity(
            a, b, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            data_range=255,
        )
        for a, b in zip(x, y, strict=True)
    ]  # fmt: skip
    assert ssim(x, y) == pytest.approx(np.mean(theirs), abs=1e-6)


def test_a_codec_is_evaluated(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 30, (80, 8, 8)) + 100 * (np.arange(80) % 2)[:, None, None]
    np.savez("shapes.npz", x=x.astype(np.uint8), y=np.arange(80) % 2)
    options = {
        "path": "shapes.npz", "network": "autoencoder", "latent_channels": 2, "downsample": 2,
        "channels_per_level": [8], "norm_groups": 2, "patch": 2, "steps": 3, "batch_size": 8,
        "precision": "fp32", "sample_count": 0,
    }  # fmt: skip
    run = train(update(TrainConfig(), options), quiet=True)
    assert is_codec("1")
    assert is_codec(str(run.model))
    assert not is_codec("2")
    found = evaluate_codec("1")
    rows = found.rows
    assert rows["PSNR, dB"][2] is None
    assert rows["SSIM"][2] == 1
    assert 0 < rows["PSNR, dB"][0] < rows["PSNR, dB"][1]  # three steps beat no linear code
    assert rows["FDr"][2] == 1
    assert len(found.latents["mean"]) == 2
    assert cli.main(["evaluate", "1"]) == 0
    assert "linear code" in capsys.readouterr().out
    kept = json.loads((run.path / "evaluation.json").read_text())
    assert kept["rows"]["SSIM"]["real"] == 1
    assert cli.main(["evaluate", "1", "--seeds", "5"]) != 0
    assert "is a codec, which makes none" in capsys.readouterr().err
    assert cli.main(["evaluate", str(run.model)]) != 0
    assert "add --data" in capsys.readouterr().err
