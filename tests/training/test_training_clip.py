"""A CLIP is trained like every run: it learns, resumes, and its processes see all pairs."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training_run import assert_same_weights, interrupt_after
from tiny import CONFIG, one_thread  # noqa: F401

from demist import runs
from demist.config import update
from demist.data import Dataset
from demist.drawing import read_metadata
from demist.errors import DataError, UsageError
from demist.evaluation.metrics.prompt_diversity import distances_within
from demist.evaluation.metrics.retrieval import retrieval
from demist.measuring.ruler import open_encoder
from demist.model import Pipeline
from demist.model.learned_clip import LearnedClip, is_clip, open_clip
from demist.training.build import build
from demist.training.gradient import part_of
from demist.training.parallel import World
from demist.training.run import train
from demist.training.tasks import clip as task

COLOURS = ("red", "green", "blue")


def pages(n=48):
    """Pictures of one colour above another, and what is said of them."""
    rng = np.random.default_rng(0)
    over, under = rng.integers(0, 3, n), rng.integers(0, 3, n)
    x = rng.integers(0, 30, (n, 3, 8, 8))
    x[np.arange(n), over, :4] += 200
    x[np.arange(n), under, 4:] += 200
    texts = tuple(f"{COLOURS[a]} over {COLOURS[b]}" for a, b in zip(over, under, strict=True))
    return Dataset(x.astype(np.uint8), texts=texts, name="pages")


DATA = pages()


@pytest.fixture
def config(tmp_path):
    options = {
        "network": "clip", "runs": str(tmp_path / "runs"), "name": "clip", "text_width": 32,
        "text_depth": 1, "text_vocabulary": 600, "width": 16, "flip": False, "dropout": 0.0,
    }  # fmt: skip
    return update(CONFIG, options)


def test_it_learns_and_says_how_well(config, capsys):
    run = train(update(config, {"steps": 60, "batch_size": 16, "log_every": "1"}), data=DATA)
    losses = [row["loss"] for row in runs.read_metrics(run.metrics)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])
    found = json.loads((run.path / "summary.json").read_text())["retrieval"]
    made = LearnedClip.load(run.model)
    again = task.measure_retrieval(made, DATA).to_json()
    assert found == {**again, "held_out": False} == made.facts["retrieval"]
    assert found["to_image_top1"] > 0.5
    assert 0.1 < found["chance_top1"] < 0.2
    err = capsys.readouterr().err
    assert "retrieval of 48 pairs: text to image top-1 " in err
    assert "the pairs are of what it has learned from" in err
    facts = read_metadata(run.image(60))
    assert facts["count"] == 4
    assert set(facts["captions"]) <= set(DATA.texts)


def test_a_run_and_its_folder_are_the_same_encoder(config):
    run = train(config, data=DATA, quiet=True)
    saved, live = open_encoder(run.model), LearnedClip.from_run(run)
    assert is_clip(run.model)
    assert not is_clip(run.path)
    np.testing.assert_array_equal(saved.see(DATA.x), live.see(DATA.x))
    np.testing.assert_array_equal(saved.read(DATA.texts), live.read(DATA.texts))
    assert saved.recipe == live.recipe
    assert saved.recipe.startswith("CLIP of pages, 8x8, ")
    assert open_clip("1", config.output.runs).sha256 == saved.sha256
    with pytest.raises(DataError, match="is a CLIP, which makes no samples"):
        Pipeline.load(run.model)
    weights = run.model / "text_encoder" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(DataError, match=r"model\.safetensors is damaged"):
        LearnedClip.load(run.model)


def test_an_interrupted_run_goes_on_bit_for_bit(config, monkeypatch):
    through = train(config, data=DATA, quiet=True)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        cut = train(config, data=DATA, quiet=True)
    assert cut.status()["state"] == "stopped"
    train(config, cut, resume=True, data=DATA, quiet=True)
    assert_same_weights(through, cut)


class Together:
    """Stands for `torch.distributed`: two threads that wait for each other."""

    def __init__(self):
        self.barrier, self.told = threading.Barrier(2, timeout=60), {}

    def _exchange(self, value):
        self.told[threading.current_thread().name] = value.clone()
        self.barrier.wait()
        both = [self.told["0"], self.told["1"]]
        self.barrier.wait()
        return both

    def all_gather(self, found, rows):
        for place, value in zip(found, self._exchange(rows), strict=True):
            place.copy_(value)

    def all_reduce(self, value):
        value.copy_(sum(self._exchange(value)))


def gradients(experiment, rank=0, size=1):
    """Loss and gradients of one step of one process."""
    net, world = experiment.denoiser, World(rank, size)
    batch = part_of(experiment.batches, rank, size)(0)
    loss = replace(experiment.objective, world=world)(net, batch).mean()
    return loss.detach(), torch.autograd.grad(loss, list(net.parameters()))


def test_two_processes_compare_all_pairs_of_the_batch(config, monkeypatch):
    """The mean of their gradients is the gradient of one process that has the whole batch."""
    monkeypatch.setattr(task, "dist", Together())
    whole, halves = gradients(build(config, DATA)), {}
    made = [build(config, DATA) for _ in range(2)]  # here, for threads share the seed of torch

    def work(rank):
        halves[rank] = gradients(made[rank], rank, 2)

    threads = [threading.Thread(target=work, args=(rank,), name=str(rank)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert float(halves[0][0] + halves[1][0]) / 2 == pytest.approx(float(whole[0]), rel=1e-5)
    for a, b, c in zip(halves[0][1], halves[1][1], whole[1], strict=True):
        torch.testing.assert_close((a + b) / 2, c, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"micro_batches": 2}, "a batch has no parts"),
        ({"codec": "1"}, "a CLIP sees pixels"),
        ({"parallel": "fsdp"}, "use ddp"),
        ({"text_vocabulary": 400}, "514 tokens"),
        ({"text_width": 48}, "multiple of 32"),
        ({"channels_per_level": [8, 8, 8, 8]}, "8x8 cannot be made 16 times smaller"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_go_together(config, options, why):
    with pytest.raises(UsageError, match=why):
        build(update(config, options), DATA)


def test_it_needs_captions_that_differ(config):
    with pytest.raises(UsageError, match=r"pages has no captions.*metadata\.jsonl"):
        build(config, replace(DATA, texts=None))
    with pytest.raises(UsageError, match="one caption for all images"):
        build(config, replace(DATA, texts=("red",) * len(DATA)))


def test_retrieval_by_hand():
    """Captions that are the same are all right; of equal cosines the others come first."""
    texts = np.eye(4, dtype=np.float32)[[0, 1, 2, 0]]
    images = np.eye(4, dtype=np.float32)[[0, 1, 1, 0]]
    found = retrieval(images, texts, ["a", "b", "c", "a"])
    assert found.texts[1] == 3 / 4  # the third image looks like b
    assert found.images[1] == 2 / 4  # b has two images, one of them c's; c has none
    assert found.chance[1] == pytest.approx((2 + 1 + 1 + 2) / 16)
    assert found.chance[5] == 1
    with pytest.raises(DataError, match="4 images but 3 captions"):
        retrieval(images, texts, ["a", "b", "c"])


def test_distances_of_images_of_one_prompt():
    seen = np.array([[1.0, 0], [0, 2], [3, 0], [-1, 0]])
    own, others = distances_within(seen, ["a", "a", "b", "b"])
    assert (own, others) == (pytest.approx(1.5), pytest.approx((0 + 2 + 1 + 1) / 4))
    assert distances_within(seen, ["a", "b", "c", "d"])[0] is None
