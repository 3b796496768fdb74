"""Room for pictures that people bring: the oldest goes, but not what a job needs."""

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demist.codecs import KLAutoencoder
from demist.errors import UsageError
from demist.io import files
from demist.model.learned_codec import LearnedCodec
from demist.networks import Autoencoder
from demist.studio import models, uploads
from demist.studio.store import Store
from demist.studio.supervisor import Supervisor
from demist.studio.uploaded import reencode


class Decoder(Supervisor):
    """The worker's part, in this process."""

    def __init__(self):
        pass

    async def ask(self, question):
        return reencode(Path(question["file"]), Path(question["to"]))


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "KEPT", 3)
    found = uploads.Uploads(tmp_path, Decoder())
    found.count = 0

    def bring(shade, side=8):
        file = tmp_path / "coming.png"
        Image.fromarray(np.full((side, side), shade, np.uint8)).save(file)

        async def body():
            yield file.read_bytes()

        name = asyncio.run(found.take(body()))["id"]
        found.count += 1
        os.utime(found.folder / name, (found.count, found.count))
        return name

    return found, bring, Store(tmp_path)


def test_the_oldest_that_no_job_names_makes_room(desk):
    kept, bring, store = desk
    first, _, third = (bring(shade) for shade in (1, 2, 3))
    job = store.add("edit", {"image": first, "n": 1})
    fourth = bring(4)  # the second goes: a job names the first
    assert {path.name for path in kept.folder.iterdir()} == {first, third, fourth}
    kept.path(third)  # who looks at it uses it
    bring(5)
    assert not (kept.folder / fourth).exists()
    store.throw_away(job)
    bring(6)
    assert (kept.folder / first).is_dir()  # a job in the bin can come back
    assert len(list(kept.folder.iterdir())) == 3


def test_what_jobs_need_stays_and_the_next_is_refused_in_words(desk):
    kept, bring, store = desk
    for shade in (1, 2, 3):
        store.add("edit", {"mask": bring(shade)})
    with pytest.raises(UsageError, match=r"room for 3 pictures.*need the 3 that are kept"):
        bring(4)
    assert len(list(kept.folder.iterdir())) == 3


def test_bytes_count_too(desk, monkeypatch):
    kept, bring, _ = desk
    first, second = bring(1), bring(2)
    size = sum(file.stat().st_size for file in (kept.folder / first).iterdir())
    monkeypatch.setattr(uploads, "BYTES", size + 1)
    third = bring(3)
    assert {path.name for path in kept.folder.iterdir()} == {second, third}


def test_what_makes_no_samples_is_not_among_the_models(tmp_path):
    coder = Autoencoder(in_channels=1, latent_channels=2, channels=(8,), norm_groups=4)
    LearnedCodec(KLAutoencoder(coder), (1, 8, 8), {}).save(tmp_path / "codec")
    index = files.read_json(tmp_path / "codec" / "model_index.json")
    assert index["_class_name"] == "DemistCodec"
    (tmp_path / "other").mkdir()
    files.write_json(tmp_path / "other/model_index.json", {"_class_name": "DemistPipeline"})
    assert [one["id"] for one in models.all_models(tmp_path)] == ["model-digits"]
