"""Files that someone made with care: none may lead out, run code or eat the machine."""

import os
import pickle
import shutil
import time

import pytest
import torch

from demist import runs
from demist.cli import main
from demist.codecs import Standardize
from demist.conditions import Conditioner
from demist.config import load_toml
from demist.core import VP, Denoiser, Eps
from demist.errors import DataError, DemistError, MissingError, RefusedError, UsageError
from demist.io.untrusted import is_pickle
from demist.model.pipeline import Pipeline
from demist.networks import MLP
from unsealed import edit

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


# Runs of others


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    line = "train eight --limit 64 --width 4 --depth 1 --batch-size 4 --steps 2 --sample-count 0"
    assert main([*line.split(), "--runs", str(folder)]) == 0
    return folder / "0001-eight"


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "runs" / trained.name)
    return runs.Run(tmp_path / "runs" / trained.name)


@pytest.mark.parametrize(
    "name",
    ["config.toml", "model.json", "command.txt", "lock", "checkpoints", "samples/x.png"]
    + [f"checkpoints/step-00000002/{file}" for file in ("manifest.json", "ema.safetensors")],
)
def test_links_out_of_a_run(run, tmp_path, name, capsys):
    """They are neither followed for reading nor for writing."""
    place, elsewhere = run.path / name, tmp_path / "elsewhere"
    if place.exists():
        place.rename(elsewhere)
    else:
        elsewhere.write_text("")
    before = elsewhere.read_bytes() if elsewhere.is_file() else sorted(os.listdir(elsewhere))
    place.symlink_to(elsewhere)
    assert main(["train", "--resume", str(run.path), "--steps", "3"]) == 77
    assert f"{place} leads out of {run.path}, to {elsewhere}" in capsys.readouterr().err
    assert main(["sample", str(run.path), "--n", "1", "--out", str(tmp_path / "x.png")]) == 77
    run.write_status("running")
    assert main(["ls", "--runs", str(run.path.parent)]) == 0
    after = elsewhere.read_bytes() if elsewhere.is_file() else sorted(os.listdir(elsewhere))
    assert after == before


def test_a_link_for_a_lock_is_not_written_through(run, tmp_path):
    (tmp_path / "precious").write_text("precious")
    (run.path / "lock").unlink()
    (run.path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError), run.lock():
        pass
    assert not run.is_locked()
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["config.toml", "model.json"])
def test_pickles_in_place_of_a_runs_files(run, monkeypatch, tmp_path, name, protocol, capsys):
    monkeypatch.chdir(tmp_path)
    (run.path / name).write_bytes(pickle.dumps(Trap(), protocol))
    assert main(["train", "--resume", str(run.path), "--steps", "3"]) == 77
    said = capsys.readouterr().err
    assert f"demist: {run.path / name} is a pickle, which could run code when loaded" in said
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["x.toml", "x.npy", "x.npz", "x.tar", "x.png", "x.safetensors"])
def test_pickles_under_any_name(monkeypatch, tmp_path, name, protocol, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(Trap(), protocol))
    line = "train --config x.toml" if name == "x.toml" else f"train {name}"
    expected = 65 if name == "x.tar" else 77  # as an archive it is damaged
    assert main(line.split()) == expected
    assert not (tmp_path / "trapped").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("value", [Trap(), {"a": [1]}, [1, 2], (1, "x"), [Trap()] * 40])
@pytest.mark.parametrize("protocol", range(6))
def test_what_a_pickle_looks_like(value, protocol):
    assert is_pickle(pickle.dumps(value, protocol)[:256])


@pytest.mark.parametrize(
    "text",
    ["limits.steps = 3\n", "[data]\n", "device = 'cpu'", "data = 1", "", "{}", "[1]", "label,a\n"],
)
def test_what_it_does_not(text):
    assert not is_pickle(text.encode())


@pytest.mark.parametrize("length", [0x0080, 0x0480, 0x010580, 0x280280])
def test_the_length_of_a_header_is_no_pickle(length):
    """A safetensors file of 1152 bytes of header begins as pickles of protocol 4 do."""
    assert not is_pickle(length.to_bytes(8, "little") + b'{"x":')
    assert is_pickle(length.to_bytes(8, "little")[:2] + b"}q\x00.")


def test_a_configuration_may_begin_like_a_pickle(tmp_path):
    (tmp_path / "x.toml").write_text("data.path = 'eight'\n")  # d, a, t, a and . are instructions
    assert load_toml(tmp_path / "x.toml").data.path == "eight"


@pytest.mark.parametrize("key", ["schedule", "parameterization", "times", "weight", "network"])
@pytest.mark.parametrize("value", ["os.system", "../vp", "/etc/passwd", "https://example.org/x"])
def test_names_in_a_configuration_are_rows_of_tables(tmp_path, key, value):
    section = "network" if key == "network" else "diffusion"
    (tmp_path / "x.toml").write_text(f"[{section}]\n{key} = {value!r}\n")
    with pytest.raises(UsageError, match=rf"x.toml: {key} = '{value}': "):
        load_toml(tmp_path / "x.toml")


@pytest.mark.parametrize("value", ["os.system", "../adams", "adams:__class__=1", "ddim:eta=x"])
def test_a_solver_in_a_configuration_is_one_too(tmp_path, value):
    text = f"[data]\npath = 'eight'\nlimit = 9\n[output]\nsample_solver = {value!r}\n"
    (tmp_path / "x.toml").write_text(text)
    assert main(["train", "--config", str(tmp_path / "x.toml"), "--runs", str(tmp_path)]) == 64
    assert not runs.all_runs(tmp_path)
