"""Attention to words, written down: it changes nothing, and is what the layers computed."""

import pytest
import torch
from small import NETS, small

from demist.editing import attending
from demist.errors import UsageError
from demist.model import Trace, open_model
from demist.model.recording import recorded, resumed
from demist.networks import attention_maps

PROMPTS = ["a red three", "a big blue seven on the left"]


@pytest.mark.parametrize("kind", ["unet", "dit", "mmdit"])
def test_samples_stay_the_same_and_shares_are_below_one(kind, tmp_path):
    assert kind in NETS
    pipeline = small(kind)
    plain = pipeline.trace(2, text=PROMPTS, steps=3)
    trace = attending(recorded(pipeline, 2, text=PROMPTS, steps=3)).run()
    assert torch.equal(trace.x, plain.x)
    assert trace.facts["words"] == [one.split() for one in PROMPTS]
    read = Trace.load(trace.save(tmp_path / "a.safetensors"))
    maps = read.attention
    assert maps is not None
    assert torch.equal(maps, trace.attention)
    assert maps.shape[:3] == (3, 2, 7)
    assert maps.min() >= 0
    assert maps.sum(2).max() <= 1 + 1e-5
    assert (maps[:, 0, 3:] == 0).all(), "the shorter prompt has three words"
    assert (maps[:, 0, :3].flatten(2).amax(2) > 0).all()


def test_the_maps_are_those_of_the_layers():
    """Layers of 4 x 4 places: the mean over heads and layers, of the tokens of each word."""
    pipeline = small("dit")
    trace = attending(recorded(pipeline, 1, text="a red three", steps=2, guidance=1.0)).run()
    plan = pipeline.plan(1, text="a red three", steps=2, guidance=1.0)
    with torch.inference_mode(), attention_maps(pipeline.denoiser.net) as maps:
        plan.model(trace.x[1], trace.times[1], **plan.told([0], pipeline.device))
    # Words stand behind the 16 places, as queries and as keys.
    found = [m[..., :16, 16:] for m in maps.values() if m.shape[-1] == 26]
    assert len(found) == 2
    tokens = attending(recorded(pipeline, 1, text="a red three", steps=2)).words.tokens[0]
    want = torch.stack([m[0].mean(0) @ tokens for m in found]).mean(0)
    got = trace.attention[1, 0].flatten(1).T
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


def test_branches_keep_the_maps_of_the_same_words_only():
    pipeline = small()
    trace = attending(recorded(pipeline, 1, text="a red three", steps=3)).run()
    same = attending(resumed(pipeline, trace, 2, guidance=3.0)).run()
    assert torch.equal(same.attention[:2], trace.attention[:2])
    other = attending(resumed(pipeline, trace, 2, text="a green five")).run()
    assert other.attention[:2].isnan().all()
    assert not other.attention[2].isnan().any()
    assert other.facts["words"] == [["a", "green", "five"]]


def test_models_without_words_say_so():
    with pytest.raises(UsageError, match="no prompt"):
        attending(recorded(open_model("digits"), 1, steps=2))
    with pytest.raises(UsageError, match="give a prompt"):
        attending(recorded(small(), 1, steps=2))
