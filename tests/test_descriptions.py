"""What describes a model or a run is checked by type and by hash, and read without waiting."""

import json
import os
import shutil

import numpy as np
import pytest

from demist import runs, zoo
from demist.cli import main
from demist.codecs import Standardize
from demist.commands.ls import describe
from demist.conditions import Conditioner, Label
from demist.config import TrainConfig, update
from demist.core import VP, Denoiser, Eps, Velocity
from demist.errors import DataError, DemistError, RefusedError, StorageError, UsageError
from demist.io.untrusted import LARGEST, inside, read_small
from demist.model.pipeline import Pipeline
from demist.networks import MLP
from unsealed import edit

INDEX, CONFIG, SCHEDULER = "model_index.json", "mlp/config.json", "scheduler/scheduler_config.json"
SPECIAL = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "itself": lambda path: path.symlink_to(path.name),
    "folder": lambda path: path.mkdir(),
    "huge": lambda path: path.write_bytes(b" " * (LARGEST + 1)),
}


@pytest.fixture
def model(tmp_path):
    net = MLP(features=2, width=8, depth=1, num_classes=2)
    conditioner = Conditioner({"label": Label(("a", "b"))})
    pipeline = Pipeline(Denoiser(net, VP(), Eps()), Standardize((0.0, 0.0), 1.0), conditioner, (2,))
    return pipeline.save(tmp_path / "model")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    line = "train eight --limit 64 --width 4 --depth 1 --batch-size 4 --steps 2 --sample-count 0"
    assert main([*line.split(), "--runs", str(folder)]) == 0
    return folder / "0001-eight"


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "runs" / trained.name)
    shutil.copytree(trained, tmp_path / "runs" / "0002-eight")
    return runs.Run(tmp_path / "runs" / trained.name)


# What is no file, or too large


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_small_file_is_refused_at_once(tmp_path, kind):
    SPECIAL[kind](tmp_path / "x.json")
    with pytest.raises((DataError, OSError)) as caught:
        read_small(tmp_path / "x.json")
    none = "is a pipe or a device"
    words = {"pipe": none, "device": none, "huge": "more than 17 MB"}
    assert words.get(kind, str(tmp_path)) in str(caught.value)


def test_a_link_to_itself_leads_nowhere(tmp_path):
    (tmp_path / "x").symlink_to("x")
    assert inside(tmp_path, "x") == tmp_path / "x"  # and is then refused by the system


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("file", [INDEX, CONFIG, SCHEDULER])
def test_special_files_in_a_model(model, kind, file):
    (model / file).unlink()
    SPECIAL[kind](model / file)
    with pytest.raises(DemistError, match=str(model)):
        Pipeline.load(model)


RUN = ("config.toml", "status.json", "metrics.jsonl", "model.json", "skipped.jsonl")


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_files_in_a_run_hide_no_other(run, kind, capsys):
    for name in RUN:
        (run.path / name).unlink(missing_ok=True)
        SPECIAL[kind](run.path / name)
    assert main(["ls", "--runs", str(run.path.parent)]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == ["run", "1", "2"]


@pytest.mark.parametrize("name", RUN)
def test_a_link_to_itself_in_a_run_that_goes_on(run, name, capsys):
    (run.path / name).unlink(missing_ok=True)
    SPECIAL["itself"](run.path / name)
    code = main(["train", "--resume", str(run.path), "--steps", "3"])
    assert code in (0, 65, 66, 74, 77)
    assert code or name not in ("config.toml", "model.json")
    assert not code or name in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*using the checkpoint before it")
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["manifest.json", "state.json", "ema.safetensors"])
def test_special_files_in_a_checkpoint(run, kind, name):
    place = run.path / "checkpoints/step-00000002" / name
    place.unlink()
    SPECIAL[kind](place)
    with pytest.raises((DataError, RefusedError), match=str(run.path)):
        Pipeline.from_run(run)


@pytest.mark.parametrize("name", ["lock", "command.txt", "model.json", "samples/x.png"])
def test_a_pipe_anywhere_in_a_run(run, name, capsys):
    """Nothing is written into it, which would wait for a reader."""
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)
    assert main(["train", "--resume", str(run.path), "--steps", "3"]) == 77
    assert f"{run.path / name} is a pipe or a device" in capsys.readouterr().err
    assert describe(run)[0] == "1"


# Hashes


def changed(model, file, change):
    content = json.loads((model / file).read_text())
    change(content)
    (model / file).write_text(json.dumps(content))


CHANGES = {
    "a schedule": (SCHEDULER, lambda c: c["schedule"].update(beta_max=10.0)),
    "a scale of the network": (CONFIG, lambda c: c.update(max_period=1000.0)),
    "a mean of the codec": (INDEX, lambda c: c["codec"].update(mean=[0.0, 0.5])),
    "the default steps": (INDEX, lambda c: c["defaults"].update(steps=7)),
    "the sum of a description": (INDEX, lambda c: c["sha256"].pop(CONFIG)),
    "the sum of the index": (INDEX, lambda c: c["sha256"].pop(INDEX)),
    "sums that are none": (INDEX, lambda c: c.update(sha256=5)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_description_is_refused_until_its_sums_are_removed(model, change):
    file, edited = CHANGES[change]
    changed(model, file, edited)
    with pytest.raises(DataError, match=r"is damaged: its SHA-256 .* on purpose, remove `sha256`"):
        Pipeline.load(model)
    changed(model, INDEX, lambda c: c.pop("sha256", None))
    assert Pipeline.load(model).shape == (2,)


def test_models_saved_before_name_their_weights_only(model):
    weights = "mlp/diffusion_pytorch_model.safetensors"
    changed(model, INDEX, lambda c: c.update(sha256={weights: c["sha256"][weights]}))
    assert Pipeline.load(model).shape == (2,)


def test_the_model_that_comes_along_is_covered(tmp_path):
    shutil.copytree(zoo.locate("digits"), tmp_path / "m")
    changed(tmp_path / "m", "unet/config.json", lambda c: c.update(max_period=1000.0))
    with pytest.raises(DataError, match="is damaged: its SHA-256"):
        Pipeline.load(tmp_path / "m")


def test_a_model_card_and_blanks_do_no_harm(model):
    (model / "README.md").write_text("# A model")
    text = (model / INDEX).read_text()
    (model / INDEX).write_text(json.dumps(json.loads(text)))  # other blanks, the same content
    assert Pipeline.load(model).shape == (2,)


def test_a_checkpoint_holds_the_description_of_its_model(run):
    """So what decides the samples of a run is under the manifest of the checkpoint."""
    before = Pipeline.from_run(run).sample(3, steps=2)
    changed(run.path, "model.json", lambda c: c[INDEX]["codec"].update(std=3.0))
    assert np.array_equal(Pipeline.from_run(run).sample(3, steps=2), before)
    assert main(["train", "--resume", str(run.path), "--steps", "3"]) == 65  # its facts matter


def test_a_configuration_changed_by_hand_is_noticed(run, capsys):
    path = run.path / "config.toml"
    path.write_text(path.read_text().replace("\nlr = 0.002", "\nlr = 0.1"))
    assert main(["train", "--resume", str(run.path), "--steps", "3"]) == 65
    assert "was changed by hand or is damaged; give a change as an" in capsys.readouterr().err
    path.write_text(path.read_text().partition("\n")[2])
    assert run.config().optimization.lr == 0.1
    assert main(["train", "--resume", str(run.path), "--steps", "3"]) == 0
    assert path.read_text().startswith("# sha256 of the lines below: ")


# Types


WRONG = [
    (SCHEDULER, lambda c: c.update(schedule=5)),
    (SCHEDULER, lambda c: c.update(schedule={"kind": "VP", "beta_min": "x"})),
    (SCHEDULER, lambda c: c.update(schedule={"kind": ["VP"]})),
    (SCHEDULER, lambda c: c.update(clock=None)),
    (SCHEDULER, lambda c: c.update(parameterization={"kind": "VP"})),
    (SCHEDULER, lambda c: c.update(input_std="1")),
    (SCHEDULER, lambda c: c.update(input_std=-1)),
    (SCHEDULER, lambda c: c.update(input_std=float("nan"))),
    (SCHEDULER, lambda c: c.update(bounds=[1])),
    (SCHEDULER, lambda c: c.update(bounds=[1, -1])),
    (SCHEDULER, lambda c: c.update(learn_variance=1)),
    (SCHEDULER, lambda c: c.update(learn_variance=True)),
    (CONFIG, lambda c: c.update(max_period="x")),
    (CONFIG, lambda c: c.update(dropout=None)),
    (CONFIG, lambda c: c.update(inlets=[1])),
    (CONFIG, lambda c: c.update({"": 1})),
    (INDEX, lambda c: c.update(shape=3)),
    (INDEX, lambda c: c.update(shape=[3])),
    (INDEX, lambda c: c.update(shape=[2, 2])),
    (INDEX, lambda c: c.update(bucket="8")),
    (INDEX, lambda c: c.update(facts=[1])),
    (INDEX, lambda c: c.update(conditions=[1])),
    (INDEX, lambda c: c.update(conditions={"label": 5})),
    (INDEX, lambda c: c.update(conditions={})),
    (INDEX, lambda c: c["conditions"]["label"].update(classes=["a", "b", "c"])),
    (INDEX, lambda c: c["conditions"]["label"].update(drop="x")),
    (INDEX, lambda c: c["codec"].update(mean=7)),
    (INDEX, lambda c: c["codec"].update(std=float("inf"))),
    (INDEX, lambda c: c["codec"].update(mean=[0.0, 0.0, 0.0])),
    (INDEX, lambda c: c["defaults"].update(steps="20")),
    (INDEX, lambda c: c["defaults"].update(solver=[])),
    (INDEX, lambda c: c["defaults"].update(grid={})),
    (INDEX, lambda c: c["defaults"].update(guidance=True)),
    (INDEX, lambda c: c.update(defaults=None)),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_types_are_one_sentence(model, number):
    """Also where nobody says what the sums should be."""
    file, change = WRONG[number]
    edit(model / file, change)
    with pytest.raises(DataError, match=str(model)):
        Pipeline.load(model)


def test_a_model_in_latents_is_checked_as_well(tmp_path):
    from demist.codecs import KLAutoencoder
    from demist.networks import Autoencoder, UNet

    codec = KLAutoencoder(Autoencoder(in_channels=1, latent_channels=2, channels=[8], patch=2))
    net = UNet(in_channels=2, channels=[8], attention=[], mid_attention=False)
    denoiser = Denoiser(net, VP(), Velocity())
    folder = Pipeline(denoiser, codec, Conditioner(), (1, 8, 8)).save(tmp_path / "m")
    assert Pipeline.load(folder).state_shape == (2, 4, 4)
    changed(folder, "autoencoder/config.json", lambda c: c.update(dropout=0.5))
    with pytest.raises(DataError, match=r"autoencoder/config\.json is damaged"):
        Pipeline.load(folder)
    changed(folder, "autoencoder/config.json", lambda c: c.update(dropout="x"))
    changed(folder, INDEX, lambda c: c.pop("sha256"))
    with pytest.raises(DataError, match="dropout should be number, not a word"):
        Pipeline.load(folder)


def test_a_classifier_of_noise_knows_its_bytes(tmp_path):
    from demist.model import NoisyClassifier
    from demist.networks.encoder import Encoder

    path, classes = tmp_path / "x.safetensors", ("a", "b")
    net = Encoder(outputs=2, channels=[8], attention=[])
    NoisyClassifier(net, VP(), 0.5, classes).save(path)
    assert NoisyClassifier.load(path).classes == classes
    data = path.read_bytes()
    for place, byte in ((data.index(b'beta_max\\": 2') + 13, b"3"), (len(data) - 1, b"\x07")):
        path.write_bytes(data[:place] + byte + data[place + 1 :])
        with pytest.raises(DataError, match="its SHA-256 is not the one recorded"):
            NoisyClassifier.load(path)


# Runs


DAMAGED = (
    b"\xff\xfe", b"[1]", b"5", b"[" * 100_000, b'{"step": "x"}', b'{"step": 2, "loss": []}', b"{",
)  # fmt: skip


def test_damaged_lines_of_metrics_hide_nothing(run, capsys):
    for path in (run.metrics, run.skipped):
        for line in DAMAGED:
            with path.open("ab") as file:
                file.write(line + b"\n")
            assert [row["step"] for row in runs.read_metrics(run.metrics)] == [2]
    assert main(["ls", "--runs", str(run.path.parent)]) == 0
    assert describe(run)[2:4] == ("done", "2")
    assert main(["train", "--resume", str(run.path), "--steps", "3"]) == 0


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [("updated", "yesterday", "done"), ("updated", 5, "-"), ("state", [], "-"), ("step", "x", "-")],
)
def test_a_status_of_no_sense(run, key, value, shown):
    changed(run.path, "status.json", lambda c: c.update({key: value}))
    assert describe(run)[2] == shown


def test_metrics_that_may_not_be_read_hide_no_other_run(run, monkeypatch):
    def refuse(path):
        raise StorageError("cannot read it")

    monkeypatch.setattr("demist.commands.ls.read_metrics", refuse)
    assert describe(run)[4] == "-"


UNREADABLE = {
    "digits": "x = " + "9" * 5000,
    "depth": "x = " + "[" * 5000,
    "lists": "[data]\nlimit = " + "[" * 250 + "]" * 250,
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_configuration_that_cannot_be_taken_in(tmp_path, text):
    (tmp_path / "x.toml").write_text(UNREADABLE[text])
    assert main(["train", "--config", str(tmp_path / "x.toml")]) in (64, 65)


def test_names_that_are_not_utf8_are_one_sentence(tmp_path, capsys):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.mkdir(name)
    assert main(["train", "eight", "--runs", name]) == 64
    assert main(["train", name]) == 64
    said = capsys.readouterr().err
    assert said.count("this is not UTF-8, which config.toml needs; rename it") == 2
    with pytest.raises(UsageError, match="not UTF-8"):
        update(TrainConfig(), {"path": name})
