"""Saved models that someone made with care: none may lead out, run code or eat the machine."""

import json
import os
import pickle
import time

import pytest
import torch

from demist.cli import main
from demist.codecs import Standardize
from demist.conditions import Conditioner
from demist.core import VP, Denoiser, Eps
from demist.errors import DataError, DemistError, MissingError, RefusedError
from demist.networks import MLP
from demist.pipeline import Pipeline

INDEX, CONFIG = "model_index.json", "mlp/config.json"
SCHEDULER, WEIGHTS = "scheduler/scheduler_config.json", "mlp/diffusion_pytorch_model.safetensors"
FILES = (INDEX, CONFIG, SCHEDULER, WEIGHTS)


@pytest.fixture
def model(tmp_path):
    denoiser = Denoiser(MLP(features=2, width=8, depth=1), VP(), Eps())
    pipeline = Pipeline(denoiser, Standardize((0.0, 0.0), 1.0), Conditioner(), (2,))
    return pipeline.save(tmp_path / "model")


class Trap:
    def __reduce__(self):
        return open, ("trapped", "w")


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("file", FILES)
def test_a_pickle_in_place_of_any_file(model, monkeypatch, tmp_path, file, protocol, capsys):
    monkeypatch.chdir(tmp_path)
    (model / file).write_bytes(pickle.dumps(Trap(), protocol))
    with pytest.raises(RefusedError, match="is a pickle"):
        Pipeline.load(model)
    assert main(["sample", str(model), "--n", "1"]) == 77
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("file", FILES)
def test_links_out_of_the_folder(model, tmp_path, file):
    (model / file).rename(tmp_path / "elsewhere")
    (model / file).symlink_to("/etc/hostname")
    with pytest.raises(RefusedError, match=r"leads out of .*, to /etc/hostname"):
        Pipeline.load(model)
    (model / file).unlink()
    (tmp_path / "elsewhere").rename(model / f"{file}.real")
    (model / file).symlink_to(f"{os.path.basename(file)}.real")  # inside it is fine
    assert Pipeline.load(model).shape == (2,)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("place", ["../mlp", "/etc", "https://example.org/unet", "mlp/../mlp", ""])
def test_names_that_lead_elsewhere_are_no_networks(model, place):
    edit(model / INDEX, lambda c: c.update({place: c.pop("mlp")}))
    with pytest.raises((DataError, MissingError)):
        Pipeline.load(model)


@pytest.mark.parametrize("kind", ["os.system", "__import__", "../VP", "demist.core.VP", 7, None])
def test_kinds_are_rows_of_a_table(model, kind):
    edit(model / SCHEDULER, lambda c: c.update(schedule={"kind": kind}))
    with pytest.raises(DataError):
        Pipeline.load(model)


@pytest.mark.parametrize("key", ["width", "depth", "features", "num_classes"])
def test_absurd_networks_take_neither_time_nor_memory(model, key):
    edit(model / CONFIG, lambda c: c.update({key: 10**12}))
    begun = time.process_time()
    with pytest.raises(DataError, match="more than 18 tensors can hold"):
        Pipeline.load(model)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("text", ["[" * 10**5, '{"a":' * 10**5, "\ufeff{}", "NaN", "", "[]"])
@pytest.mark.parametrize("file", [INDEX, CONFIG, SCHEDULER])
def test_json_that_is_none(model, file, text):
    (model / file).write_text(text, encoding="utf-8")
    with pytest.raises(DemistError):
        Pipeline.load(model)


def test_weights_that_were_changed(model):
    data = bytearray((model / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (model / WEIGHTS).write_bytes(data)
    with pytest.raises(DataError, match=r"is damaged: its SHA-256 .* remove `sha256`"):
        Pipeline.load(model)
    edit(model / INDEX, lambda c: c.pop("sha256"))
    assert Pipeline.load(model).shape == (2,)


def test_weights_that_are_no_numbers_are_told_of(tmp_path):
    denoiser = Denoiser(MLP(features=2, width=8, depth=1), VP(), Eps())
    with torch.no_grad():
        next(denoiser.parameters())[0] = float("nan")
    pipeline = Pipeline(denoiser, Standardize((0.0, 0.0), 1.0), Conditioner(), (2,))
    with pytest.warns(UserWarning, match=r"1 of \d+ tensors in .*model hold NaN or infinity"):
        Pipeline.load(pipeline.save(tmp_path / "model"))
