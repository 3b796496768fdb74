"""Folders of other makers that go on learning: they begin as they were, and remain such folders."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from demist import Pipeline
from demist.cli import main
from demist.conditions import TextEncoder
from demist.config import TrainConfig, giving_way, update
from demist.data import Column, Dataset
from demist.editing import instruct
from demist.errors import DataError, MissingError, UsageError
from demist.interop import FolderSource
from demist.model import folder as model_folder
from demist.networks import published
from demist.recipes import find
from demist.runs import Run
from demist.studio.models import all_models
from demist.training.build import build
from demist.training.run import train

from .test_control import SMALL, UNET, VAE, filled
from .test_flux_pixart_folders import VAE as LATENT
from .test_folders import write, write_net

rng = np.random.default_rng(0)
X = rng.integers(0, 256, (12, 3, 16, 16), dtype=np.uint8)
WORDS = ("make it red", "a blue house, by the sea", "(bright:1.4) day") * 4
SOURCE = Column("image", X[:, :, ::-1].copy())
MASK = Column("mask", (rng.random((12, 1, 16, 16)) > 0.5).astype(np.uint8) * 255)
PAIRS = {"source": SOURCE, "instruction": Column("text", WORDS)}
SEEDS = {"seed": 3, "steps": 3}


class Reader(torch.nn.Module):
    """What is asked of a text encoder: each token's state depends on it and on those before."""

    def __init__(self):
        super().__init__()
        self.rows = torch.nn.Embedding(64, 12)
        self.config = SimpleNamespace(max_position_embeddings=8)

    def forward(self, ids, attention_mask=None, output_hidden_states=True):
        states = self.rows(ids).cumsum(1) / 3
        return SimpleNamespace(last_hidden_state=states, pooler_output=states[:, -1])

    def save_pretrained(self, folder):
        write(Path(folder) / "config.json", {})
        save_file(self.state_dict(), Path(folder) / "model.safetensors")


class Letters:
    """A tokenizer that reads the letters of a prompt."""

    def __call__(self, text, padding=None, max_length=8, add_special_tokens=True, **_):
        ids = [ord(c) % 60 + 2 for c in text]
        spans = [(i, i + 1) for i in range(len(text))]
        if add_special_tokens:
            ids = [0, *ids, 1]
        if padding:
            ids += [1] * (max_length - len(ids))
        return {"input_ids": ids, "offset_mapping": spans}

    def decode(self, ids):
        return "".join(chr(i + 58) for i in ids)

    def save_pretrained(self, folder):
        write(Path(folder) / "tokenizer_config.json", {})


@pytest.fixture(autouse=True)
def encoders(monkeypatch, tmp_path):
    """Text encoders that need no further package, and a cache of their own."""

    def text_encoder(self, encoder, tokenizer, length=None):
        def open_model():
            net = Reader()
            net.load_state_dict(load_file(self.place / encoder / "model.safetensors"))
            return net

        return TextEncoder(encoder, str(self.place / encoder), open_model, Letters, length)

    monkeypatch.setattr(FolderSource, "text_encoder", text_encoder)
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)


def write_sd(place, kind="StableDiffusionPipeline", **unet):
    """A tiny Stable Diffusion, as diffusers writes one."""
    torch.manual_seed(0)
    named = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
    index = {"_class_name": kind, **{k: ["diffusers", v] for k, v in named.items()}}
    for name, cls in (("text_encoder", "CLIPTextModel"), ("tokenizer", "CLIPTokenizer")):
        index[name] = ["transformers", cls]
        (place / name).mkdir(parents=True)
    Reader().save_pretrained(place / "text_encoder")
    write(place / "model_index.json", index | {"safety_checker": [None, None]})
    path = {"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear",
            "beta_start": 0.00085, "beta_end": 0.012}  # fmt: skip
    write(place / "scheduler/scheduler_config.json", path)
    net = filled(write_net(place / "unet", UNET | unet, published.UNet2DCondition))
    save_file(net.state_dict(), place / "unet/diffusion_pytorch_model.safetensors")
    write_net(place / "vae", VAE, published.AutoencoderKL)
    return place


@pytest.fixture
def sd(tmp_path):
    return write_sd(tmp_path / "sd")


def config(place, tmp_path, **options):
    own = {"start_from": str(place), "batch_size": 4, "lr": 1e-4, "warmup": 0, "steps": 2,
           "precision": "fp32", "optimizer": "adamw", "sample_count": 0, "decay": "constant",
           "runs": str(tmp_path / "runs")}  # fmt: skip
    return update(TrainConfig(), {**own, **options})


def told(**columns):
    return Dataset(X, columns=columns, name="pairs")


def same(one, other):
    ours, theirs = (p.denoiser.net.state_dict() for p in (one, other))
    return all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_without_learning_the_samples_are_those_of_the_folder_bit_for_bit(sd, tmp_path):
    theirs = Pipeline.load(sd)
    asked = {"text": ["red", "sea"], **SEEDS}
    expected = theirs.sample(2, **asked)
    assert expected.std() > 1
    data = Dataset(X, texts=WORDS)
    e = build(config(sd, tmp_path), data)
    assert np.array_equal(e.pipeline.sample(2, **asked), expected)
    run = train(config(sd, tmp_path, lr=0.0), data=data, quiet=True)
    for made in (Pipeline.load(run.model), Pipeline.from_run(run)):
        assert same(made, theirs)
        assert np.array_equal(made.sample(2, **asked), expected)
        assert made.defaults == theirs.defaults
        assert made.facts["step"] == 2
    again = Pipeline.load(run.model)
    again.save(tmp_path / "again")
    assert Pipeline.load(tmp_path / "again").facts == again.facts


def test_what_is_said_of_it(sd, tmp_path):
    e = build(config(sd, tmp_path), Dataset(X, texts=WORDS))
    [note] = e.notes
    for words in (
        f"starts from {sd}, a StableDiffusionPipeline: its network (UNet2DConditionModel, ",
        "autoencoder (AutoencoderKL, latents of 4 x 8 x 8), text encoder (text_encoder), schedule,",
        "(Table, Eps, IndexClock) stay as they are; images are 3 x 16 x 16",
    ):
        assert words in note
    assert "told anew" not in note
    ours, theirs = (next(net.parameters()) for net in (e.network, e.base.denoiser.net))
    assert ours.requires_grad
    assert ours.data_ptr() != theirs.data_ptr()
    notes = build(config(sd, tmp_path, lr=2e-3), told(source=SOURCE)).notes
    assert "no such column: text, hidden" in notes[0]
    assert "lr = 0.002 is for networks that know nothing" in notes[1]
    e = build(config(sd, tmp_path), told(source=SOURCE))
    assert e.batches(0).cond["text"].std(0).max() == 0


@pytest.mark.filterwarnings("ignore:the prompt has")
@pytest.mark.parametrize("recipe", ["instruct", "inpaint"])
def test_widened_it_equals_its_base_bit_for_bit_and_learns_what_is_new(sd, tmp_path, recipe):
    instructs = recipe == "instruct"
    text = {"instruction": PAIRS["instruction"]} if instructs else {"text": Column("text", WORDS)}
    data = told(**{"source": SOURCE} if instructs else {"mask": MASK}, **text)
    own = giving_way(find(recipe).config(), str(sd))
    given = vars(config(sd, tmp_path).optimization)
    own = update(own, {**given, "start_from": str(sd), "steps": 2, "runs": str(tmp_path / "runs"),
                       "sample_count": 2, "sample_steps": 2})  # fmt: skip
    e = build(own, data)
    name, channels = ("image", 8) if instructs else ("hole", 9)
    assert list(e.pipeline.conditioner.conditions) == ["text", name]
    assert e.network.config["in_channels"] == channels
    assert not e.network.conv_in.weight[:, 4:].any()
    assert f"told anew: {name}, by {channels - 4} input channels of zeros" in e.notes[0]
    theirs = Pipeline.load(sd)
    asked = {"text": "sea", "guidance": 2.0, "guidance_rule": "cfg", **SEEDS}
    shown = {name: X[0] if instructs else (X[0], np.ones((1, 16, 16), np.uint8))}
    expected = theirs.sample(2, **asked)
    assert np.array_equal(e.pipeline.sample(2, **asked, **shown), expected)
    if instructs:
        batch, rows = e.batches(0), e.streams.indices(0)
        with torch.no_grad():
            mean, _ = e.pipeline.codec.moments(torch.from_numpy(SOURCE.values[rows]))
        shown_rows = batch.cond["image"].flatten(1).any(1)
        torch.testing.assert_close(batch.cond["image"][shown_rows], mean[shown_rows])
        text, image = (e.pipeline.conditioner.conditions[k] for k in ("text", "image"))
        assert (text.drop, text.group, image.drop, image.group) == (0.1, "~edit", 0.1, "~edit")
    run = train(own, data=data, quiet=True)
    assert len(list(run.image(0).parent.glob("*.png"))) == 1
    made = Pipeline.load(run.model)
    assert made.denoiser.net.conv_in.weight[:, 4:].abs().sum((0, 2, 3)).min() > 0
    assert same(made, Pipeline.from_run(run))
    kind = "InstructPix2Pix" if instructs else "Inpaint"
    index = json.loads((run.model / "model_index.json").read_text())
    assert index["_class_name"] == f"StableDiffusion{kind}Pipeline"
    assert json.loads((run.model / "unet/config.json").read_text())["in_channels"] == channels
    assert made.facts["base"] == model_folder.weights_hash(theirs)
    assert made.facts["data"] == "pairs"
    assert made.defaults.guidance == (1.5 if instructs else 3.0)
    if instructs:
        assert instruct(made, X[0], "make it red", steps=2).shape == (1, 3, 16, 16)


@pytest.mark.filterwarnings("ignore:the prompt has")
def test_the_command_learns_from_a_folder_of_pairs_and_edits(sd, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = []
    for i, (x, words) in enumerate(zip(X, WORDS, strict=True)):
        for name, image in ((f"{i}.png", x), (f"{i}-before.png", x[:, ::-1])):
            (tmp_path / "pairs").mkdir(exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "pairs" / name)
        row = {"file_name": f"{i}.png", "source": f"{i}-before.png", "instruction": words}
        rows.append(json.dumps(row))
    (tmp_path / "pairs/metadata.jsonl").write_text("\n".join(rows))
    line = "train pairs --recipe instruct --start-from sd --steps 2 --batch-size 4 --lr 1e-5"
    assert main([*line.split(), "--precision", "fp32", "--sample-count", "2"]) == 0
    said = capsys.readouterr()
    assert "starts from sd, a StableDiffusionPipeline" in said.out + said.err
    assert "demist edit 1 IMAGE --instruct TEXT" in said.out
    assert main(["train", "--resume", "1", "--steps", "3"]) == 0
    Image.fromarray(X[0].transpose(1, 2, 0)).save("a.png")
    assert main(["edit", "1", "a.png", "--instruct", "red", "--steps", "2"]) == 0
    with Image.open("edited.png") as made:
        assert made.size == (16, 16)
    assert main(["show", "runs/0001-instruct/model"]) == 0
    [model] = [m for m in all_models(tmp_path / "runs") if m["id"].startswith("run-")]
    assert model["conditions"].keys() == {"text", "image"}
    assert (model["shape"], model["step"]) == ([3, 16, 16], 3)


def test_a_recipe_gives_way_where_the_model_has_no_place_for_it(sd):
    given = update(TrainConfig(), {"text_tower": "clip", "dropout": 0.1, "depth": 9})
    assert giving_way(given, str(sd)) == TrainConfig()
    assert giving_way(given, "digits") == update(given, {"depth": TrainConfig().network.depth})


def test_holes_are_drawn_where_the_data_has_none(sd, tmp_path):
    e = build(config(sd, tmp_path, conditions="usual,masked"), Dataset(X, texts=WORDS))
    masks = [e.batches(step).cond["hole.mask"] for step in (0, 1)]
    assert masks[0].unique().tolist() == [0.0, 1.0]
    assert not torch.equal(*masks)


@pytest.mark.slow
def test_it_goes_on_bit_for_bit_when_its_folder_is_gone(sd, tmp_path):
    data = told(**PAIRS)
    asked = config(sd, tmp_path, conditions="source,instruction", steps=4, save_every="2")
    whole = train(asked, data=data, quiet=True)
    run = train(update(asked, {"steps": 2}), data=data, quiet=True)
    shutil.rmtree(sd)
    train(asked, run, resume=True, data=data, quiet=True)
    ours, theirs = (Pipeline.load(r.model) for r in (run, whole))
    assert same(ours, theirs)
    assert not same(Pipeline.from_run(run, 2), theirs)
    assert (run.path / "base/unet/config.json").is_file()
    other = Pipeline.load(run.path / "base")
    with torch.no_grad():
        next(other.denoiser.net.parameters()).mul_(2)
    other.save(run.path / "base", replace=True)
    with pytest.raises(DataError, match="had another base"):
        train(update(asked, {"steps": 5}), run, resume=True, data=data, quiet=True)
    shutil.rmtree(run.path / "base")
    with pytest.raises(MissingError, match="no saved model"):
        train(update(asked, {"steps": 5}), run, resume=True, data=data, quiet=True)


def test_a_run_that_started_so_is_a_base_itself(sd, tmp_path):
    data = told(**PAIRS)
    first = train(config(sd, tmp_path, conditions="source,instruction"), data=data, quiet=True)
    for place in (first.path, first.model):
        e = build(config(place, tmp_path), data)
        assert same(e.pipeline, Pipeline.load(first.model))
        assert list(e.pipeline.conditioner.conditions) == ["text", "image"]
        assert "a StableDiffusionInstructPix2PixPipeline" in e.notes[0]
        assert "told anew" not in e.notes[0]
        assert "hidden" not in e.notes[0]
    e = build(config(first.model, tmp_path), Dataset(X, texts=WORDS))
    assert "no such column: image, hidden" in e.notes[0]
    assert not e.batches(0).cond["image"].any()


@pytest.mark.filterwarnings("ignore:the prompt has")
def test_captions_are_read_once_as_the_model_reads_them(sd, tmp_path, capsys):
    data = Dataset(X, texts=WORDS)
    e = build(config(sd, tmp_path, label_drop=0.0), data)
    batch, rows = e.batches(0), e.streams.indices(0)
    text = e.pipeline.conditioner.conditions["text"].holding(WORDS)
    assert text.chunks == 4
    told_of = capsys.readouterr().err
    assert "brackets in captions are read as they are" in told_of
    assert "3 of 3 captions are longer than text_encoder reads: they are read in up to 4" in told_of
    null = text.encode(None, 1)["states"][0]
    for row, states in zip(rows, batch.cond["text"], strict=True):
        plain = WORDS[row].replace("(", r"\(").replace(")", r"\)")
        read = text.encode(plain, 1)["states"][0]
        assert torch.equal(states, read)
        assert not torch.equal(states, null)
    kept = list((tmp_path / "cache").rglob("*"))
    assert kept
    build(config(sd, tmp_path), data)
    assert list((tmp_path / "cache").rglob("*")) == kept


def test_images_are_read_in_its_size_where_nobody_says_one(sd, tmp_path):
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (20, 30), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    e = build(config(sd, tmp_path, path=str(tmp_path), hold_out=0.0))
    assert e.data.x.shape[1:] == e.pipeline.shape == (3, 16, 16)
    run = train(config(sd, tmp_path, path=str(tmp_path), size=24, hold_out=0.0), quiet=True)
    assert run.config().data.size == 24
    for made in (Pipeline.load(run.model), Pipeline.from_run(run)):
        assert made.shape == (3, 24, 24)
    assert json.loads((run.model / "unet/config.json").read_text())["sample_size"] == 12


def test_pixels_and_classes_learn_on_too(tmp_path):
    net = {**SMALL, "sample_size": 16, "down_block_types": ["DownBlock2D"] * 2,
           "up_block_types": ["UpBlock2D"] * 2, "num_class_embeds": 3}  # fmt: skip
    write_net(tmp_path / "m", net)
    write(tmp_path / "m/scheduler_config.json", {"_class_name": "DDPMScheduler"})
    data = Dataset(X, np.arange(12) % 2, ("2", "0"), name="two")
    theirs = Pipeline.load(tmp_path / "m")
    asked = {"label": ["1", "2"], **SEEDS}
    run = train(config(tmp_path / "m", tmp_path, lr=0.0, sample_count=2), data=data, quiet=True)
    assert np.array_equal(Pipeline.load(run.model).sample(2, **asked), theirs.sample(2, **asked))
    run = train(config(tmp_path / "m", tmp_path), data=data, quiet=True)
    assert not same(Pipeline.load(run.model), theirs)
    assert same(Pipeline.load(run.model), Pipeline.from_run(run))
    with pytest.raises(UsageError, match="no image without one; give a class, such as 0"):
        theirs.sample(1, **SEEDS)
    more = Dataset(X, np.arange(12) % 2, ("2", "cat"))
    with pytest.raises(UsageError, match="knows the classes 0, 1, 2 and the data has 2, cat"):
        build(config(tmp_path / "m", tmp_path), more)


def test_a_transformer_learns_its_variances_on(tmp_path):
    place = tmp_path / "dit"
    options = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1, "sample_size": 8,
               "num_embeds_ada_norm": 3, "in_channels": 4, "out_channels": 8}  # fmt: skip
    index = {"_class_name": "DiTPipeline", "transformer": ["diffusers", "x"], "vae": ["d", "x"]}
    write(place / "model_index.json", index)
    write(place / "scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler"})
    net = filled(write_net(place / "transformer", options, published.DiT2D))
    save_file(net.state_dict(), place / "transformer/diffusion_pytorch_model.safetensors")
    write_net(place / "vae", {**LATENT, "shift_factor": None}, published.AutoencoderKL)
    data = Dataset(X, np.arange(12) % 2, ("2", "0"), name="two")
    theirs = Pipeline.load(place)
    e = build(config(place, tmp_path), data)
    assert "its variances, of 1000 steps, are learned, too" in e.notes[0]
    assert e.objective.steps == 1000
    asked = {"label": ["1", "2"], **SEEDS}
    assert np.array_equal(e.pipeline.sample(2, **asked), theirs.sample(2, **asked))
    run = train(config(place, tmp_path, sample_count=2, sample_steps=2), data=data, quiet=True)
    made = Pipeline.load(run.model)
    moved = made.denoiser.net.proj_out_2.weight - theirs.denoiser.net.proj_out_2.weight
    assert moved.abs().min() > 0
    with pytest.raises(UsageError, match=r"variance_steps = 10: .*over 1000 steps; leave it out"):
        build(config(place, tmp_path, variance_steps=10), data)
    larger = Dataset(np.zeros((4, 3, 32, 32), np.uint8), np.arange(4) % 2, ("2", "0"))
    with pytest.raises(UsageError, match=r"3 x 32 x 32, and a DiT2D .* use --size 16x16"):
        build(config(place, tmp_path), larger)
    with pytest.raises(UsageError, match="DiTPipeline cannot be told a source more"):
        build(config(place, tmp_path, conditions="source"), told(source=SOURCE))


def test_what_contradicts_it_is_one_sentence(sd, tmp_path):
    def refused(words, data=None, place=sd, **options):
        with pytest.raises(UsageError, match=words):
            build(config(place, tmp_path, **options), data or told(**PAIRS))

    refused(r"depth = 7: with start_from this is as in the model.*leave it out", depth=7)
    refused(r"schedule = 'vp'.*leave it out", schedule="vp")
    refused(r"dropout = 0.1: .*comes with its own network and text encoders; leave", dropout=0.1)
    refused(r"text_encoder = 'x': .*leave it out", text_encoder="x")
    refused(r"variance_steps = 9: .*learned no variances; leave it out", variance_steps=9)
    refused(r"parallel = 'fsdp': .*use ddp", parallel="fsdp")
    refused(r"source: a StableDiffusionPipeline can be told text and.*leave it out",
            told(source=Column("numbers", np.zeros((12, 1), np.float32), ("source",))),
            conditions="source")  # fmt: skip
    refused("pairs has no column 'source' of images; it has instruction",
            told(instruction=PAIRS["instruction"]), conditions="source")  # fmt: skip
    refused("there is no column|has no column 'depths'|can be told", conditions="depths")
    refused("cannot be told a (mask|source) more", told(source=SOURCE, mask=MASK),
            conditions="source,mask")  # fmt: skip
    grey = Dataset(X[:, :1], texts=WORDS)
    refused("data is 1 x 16 x 16 and .* makes 3 x 16 x 16; use --channels 3", grey)
    wide = Dataset(np.zeros((4, 3, 16, 18), np.uint8))
    assert build(config(sd, tmp_path), wide).pipeline.shape == (3, 16, 18)
    refused("multiples of 2", Dataset(np.zeros((4, 3, 16, 17), np.uint8)))
    lcm = write_sd(tmp_path / "lcm", "LatentConsistencyModelPipeline", time_cond_proj_dim=8)
    refused("distilled to be told its guidance", place=lcm)


def test_a_damaged_description_is_one_sentence(sd, tmp_path):
    run = train(config(sd, tmp_path), data=Dataset(X, texts=WORDS), quiet=True)
    index = json.loads((run.model / "model_index.json").read_text())
    for wrong in (3, {"facts": []}, {"defaults": {"steps": "many"}}, {"defaults": {"no": 1}}):
        write(run.model / "model_index.json", index | {"_demist": wrong})
        with pytest.raises(DataError):
            Pipeline.load(run.model)
    assert Run(run.path).status()["state"] == "done"
