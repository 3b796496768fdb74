"""Names of the hub, on the loopback address: what is fetched, recorded and refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from demist import Pipeline, data, runs
from demist.cli import main
from demist.errors import DataError, MissingError, RefusedError, TryAgainError, UsageError
from demist.io import hub
from demist.io.untrusted import inside
from demist.model import locate
from demist.model.folder import weights_hash
from demist.training.given import config_of, pinned
from hub_server import server

__all__ = ["server"]

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.filterwarnings("ignore:hf.me/:UserWarning")
ZOO = Path(data.__file__).parents[1] / "zoo/digits"
DIGITS = {str(p.relative_to(ZOO)): p.read_bytes() for p in ZOO.rglob("*") if p.is_file()}
WEIGHTS = save({"w": torch.ones(2)})


def test_names():
    assert hub.parse("hf:a/b") == hub.Named("a/b", "", None)
    assert hub.parse("hf:a-1/b.c_d@v1.0") == hub.Named("a-1/b.c_d", "", "v1.0")
    assert hub.parse("hf:a/b/deep/x y.png@refs/pr/3") == hub.Named(
        "a/b", "deep/x y.png", "refs/pr/3"
    )
    assert str(hub.parse("hf:a/b/c@d")) == "hf:a/b/c@d"
    for wrong in ("hf:", "hf:a", "hf:/a/b", "hf:a/b@", "hf:a/../b", "hf:-a/b", "a/b", "hf:a/b\n"):
        with pytest.raises(UsageError, match="is no name of the hub; write hf:owner/name"):
            hub.parse(wrong)


def test_what_is_wanted():
    names = [
        *("model_index.json", "README.md", "sd.safetensors", "pytorch_model.bin", "code.py"),
        *("unet/config.json", "unet/m.safetensors", "unet/m.fp16.safetensors", "unet/m.bin"),
        *("vae/n.fp16.safetensors", "safety_checker/model.safetensors", "../out.json", "/etc.json"),
        *("t/x-00001-of-00002.safetensors", "t/x-00002-of-00002.safetensors"),
        *("t/x.fp16-00001-of-00002.safetensors", "a/../b.json", "tokenizer/merges.txt"),
    ]
    assert hub.choose(names, "model") == [
        *("README.md", "model_index.json", "t/x-00001-of-00002.safetensors"),
        *("t/x-00002-of-00002.safetensors", "tokenizer/merges.txt", "unet/config.json"),
        *("unet/m.safetensors", "vae/n.fp16.safetensors"),
    ]
    assert hub.choose(names, "model", "sd.safetensors") == ["sd.safetensors"]
    assert hub.choose(names, "model", "unet") == [
        *("unet/config.json", "unet/m.fp16.safetensors", "unet/m.safetensors"),
    ]
    assert hub.choose(["sd.safetensors", "x.py"], "model") == ["sd.safetensors"]
    files = ["a/1.png", "a.parquet", "load.py", "x.pkl", "x.pt", "train.tar"]
    assert hub.choose(files, "dataset") == ["a.parquet", "a/1.png", "train.tar"]


def test_a_model_is_fetched_and_its_commit_is_in_its_facts(server):
    first = server.put("me/digits", {**DIGITS, "evil.py": b"1", "weights.bin": b"2"})
    with pytest.warns(
        UserWarning, match=rf"hf:me/digits is commit {first[:12]}, {len(DIGITS)} files"
    ):
        pipeline = Pipeline.load("hf:me/digits")
    assert pipeline.facts["hub"] == f"hf:me/digits@{first}"
    mine = Pipeline.load(ZOO)
    assert "hub" not in mine.facts
    assert weights_hash(pipeline) == weights_hash(mine)
    assert server.got("me/digits") == sorted(DIGITS)
    server.asked.clear()
    second = server.put("me/digits", {**DIGITS, "more.txt": b"x"})
    hub.fetched.cache_clear()
    assert Pipeline.load("hf:me/digits").facts["hub"] == f"hf:me/digits@{second}"
    assert server.got("me/digits") == ["more.txt"]  # the rest is the same content
    assert Pipeline.load(f"hf:me/digits@{first}").facts["hub"] == f"hf:me/digits@{first}"
    assert hub.origin_of(locate("hf:me/digits")) == f"hf:me/digits@{second}"
    assert server.tokens == {None}


def test_the_stored_token_is_used_and_no_other(server, tmp_path):
    server.put("me/digits", {"config.json": b"{}", "w.safetensors": WEIGHTS})
    (tmp_path / "token").write_text("hf_mine")
    hub.fetched("hf:me/digits", "model")
    assert server.tokens == {"Bearer hf_mine"}


def test_one_file_and_parts(server):
    server.put("me/lora", {"lora.safetensors": WEIGHTS, "README.md": b"x"})
    assert hub.fetched("hf:me/lora", "model").name == "lora.safetensors"
    server.put("me/two", {"a.safetensors": WEIGHTS, "b/c.safetensors": WEIGHTS, "d.json": b"{}"})
    assert hub.fetched("hf:me/two/b/c.safetensors", "model").name == "c.safetensors"
    assert server.got("me/two") == ["b/c.safetensors"]
    with pytest.raises(MissingError, match=r"there is no 'no' in it"):
        hub.fetched("hf:me/two/no", "model")


def test_a_link_may_lead_to_the_contents_of_its_own_repository_only(server, tmp_path):
    server.put("me/m", {"config.json": b"{}", "w.safetensors": WEIGHTS})
    place = hub.fetched("hf:me/m", "model")
    assert (place / "config.json").is_symlink()
    assert inside(place, "config.json").read_bytes() == b"{}"
    (tmp_path / "secret").write_text("x")
    (place / "out.json").symlink_to(tmp_path / "secret")
    with pytest.raises(RefusedError, match="leads out of"):
        inside(place, "out.json")
    plain = tmp_path / "snapshots" / "c"
    plain.mkdir(parents=True)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/x").write_text("x")
    (plain / "x").symlink_to(tmp_path / "blobs/x")
    with pytest.raises(RefusedError, match="leads out of"):
        inside(plain, "x")


def test_what_cannot_be_had(server, monkeypatch):
    server.put("me/m", {"config.json": b"{}", "pytorch_model.bin": b"x"})
    with pytest.raises(DataError, match=r"no files of safetensors; pytorch_model.bin is a pickle"):
        hub.fetched("hf:me/m", "model")
    assert server.got("me/m") == []
    with pytest.raises(MissingError, match=r"there is no hf:me/none that you may see"):
        hub.fetched("hf:me/none", "model")
    with pytest.raises(MissingError, match=r"there is no revision 'v9'"):
        hub.fetched("hf:me/m@v9", "model")
    server.closed.add("me/gated")
    with pytest.raises(RefusedError, match="accepted its terms"):
        hub.fetched("hf:me/gated", "model")
    with pytest.raises(MissingError, match="no hf:me/none"):
        locate("hf:me/none")
    monkeypatch.setattr("demist.machine.packages.installed", lambda name: False)
    with pytest.raises(MissingError, match=r"hf:me/m needs the package huggingface_hub: pip"):
        hub.fetched("hf:me/m", "model")


def test_without_the_hub_the_cache_is_read(server, monkeypatch):
    from huggingface_hub import constants

    commit = server.put("me/digits", DIGITS)
    hub.fetched("hf:me/digits", "model")
    server.asked.clear()
    for offline in (True, False):
        hub.fetched.cache_clear()
        if offline:
            monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        else:
            monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
            monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        with pytest.warns(UserWarning, match=rf"was not asked; this is commit {commit[:12]}"):
            assert Pipeline.load("hf:me/digits").facts["hub"] == f"hf:me/digits@{commit}"
        with pytest.raises(TryAgainError, match="is not in the cache, and the hub cannot be asked"):
            hub.fetched("hf:me/other", "model")
    assert server.asked == []


def images():
    rng, files = np.random.default_rng(0), {}
    for i in range(20):
        image = Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8) // (1 + i % 2))
        image.save("one.png")
        files[f"{'ab'[i % 2]}/{i}.png"] = Path("one.png").read_bytes()
    return {**files, "load.py": b"1"}


TINY = [
    *("--channels-per-level", "8", "--norm-groups", "2", "--no-mid-attention", "--batch-size", "8"),
    *("--warmup", "0", "--steps", "2", "--sample-count", "2", "--sample-steps", "2"),
    *("--precision", "fp32"),
]


def test_data_of_the_hub_is_learned_from_and_a_run_is_pushed(server, tmp_path, capsys):
    commit = server.put("me/squares", images(), "datasets")
    assert main(["train", "hf:me/squares", *TINY]) == 0
    run = runs.find("1")
    assert run.name == "squares"
    assert run.config().data.path == f"hf:me/squares@{commit}"
    assert server.got("me/squares") == sorted(set(images()) - {"load.py"})
    server.put("me/squares", {"a/0.png": images()["a/0.png"]}, "datasets")
    old = run.config()
    assert pinned(config_of("hf:me/squares", {}), old).data.path == f"hf:me/squares@{commit}"
    assert pinned(config_of("photos", {}), old).data.path == "photos"

    from demist.model import card

    assert card.add_table(run.model, "| FDr | 2.0 |\n")
    capsys.readouterr()
    assert main(["push", "1", "hf:me/model", "--license", "cc-by-4.0", "--private"]) == 0
    assert capsys.readouterr().out.startswith(f"{server.url}/me/model/commit/")
    (files,) = server.repos["models", "me/model"].values()
    text = files["README.md"].decode()
    assert "\nlicense: cc-by-4.0\n---\n" in text
    assert f"demist train hf:me/squares@{commit} " in text
    assert "![Samples](samples.png)" in text
    assert 'Pipeline.load("hf:me/model")' in text
    assert "demist sample hf:me/model --class a" in text
    assert text.index("## Use") < text.index("## How good it is\n\n| FDr | 2.0 |\n")
    assert str(tmp_path) not in text
    assert files["samples.png"] == run.image(2).read_bytes()
    assert json.loads(files["model_index.json"])["facts"]["license"] == "cc-by-4.0"
    again = Pipeline.load("hf:me/model")
    mine = Pipeline.load(run.model)
    assert weights_hash(again) == weights_hash(mine)


def test_what_cannot_be_pushed(server):
    assert main(["push", "absent", "hf:me/model"]) == 66
    assert main(["push", str(ZOO), "me/model"]) == 64
    assert main(["push", str(ZOO), "hf:me/model/unet"]) == 64
    server.closed.add("me/model")
    assert main(["push", str(ZOO), "hf:me/model"]) == 77
    assert not [name for name in server.repos if name[1] == "me/model"]


def test_nothing_is_asked_unless_a_name_is_written(server):
    Pipeline.load("digits")
    data.load("digits", limit=10)
    assert server.asked == []


def test_the_librarys_own_address_and_cache(server, tmp_path):
    server.put("me/digits", DIGITS)
    home = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}
    code = """
import sys
from demist.io import hub
assert "huggingface_hub" not in sys.modules
print(hub.fetched("hf:me/digits", "model"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True, capture_output=True, text=True, env={**os.environ, **home},
    )  # fmt: skip
    place = Path(done.stdout.strip())
    assert place.parent == tmp_path / "home/hub/models--me--digits/snapshots"
    assert server.got("me/digits") == sorted(DIGITS)
