"""CLIP: its towers, the form in which transformers opens the one for text, and its vocabulary."""

import json
import math

import numpy as np
import pytest
import torch

from demist.conditions import ClipText
from demist.conditions.clip_words import LEAST, files, learn_pairs, tokenizer, vocabulary
from demist.data import Column
from demist.errors import UsageError
from demist.model.learned_clip import LearnedClip
from demist.networks import Clip
from demist.networks.published import ClipText as Tower
from demist.objectives import contrastive_loss

CAPTIONS = [
    "a large red seven",
    "a small blue 5",
    "it's a café: green!",
    "two dots, left & right",
] * 4
WORDS = ["A large  RED seven", "unheard-of zebras 12", "it's", "", "naïve café\nünder"]


def seeded(net):
    """Weights that are the same everywhere, none of them zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=generator) if p.ndim else p)
    return net.eval()


def small(pairs=(), length=12):
    text = ClipText(tuple(pairs), length, 32, 2)
    net = Clip(
        size=(8, 8), channels=(8, 16), patch=1, norm_groups=2, width=16, length=length,
        vocabulary=text.spec()["vocabulary"], text_width=32, text_depth=2,
    )  # fmt: skip
    return LearnedClip(seeded(net), text, (3, 8, 8))


def test_the_vocabulary_is_clips():
    """Bytes, bytes at ends of words, pairs, marks; words often seen are one token."""
    pairs = learn_pairs(CAPTIONS, 700)
    words = vocabulary(pairs)
    assert list(words.values()) == list(range(LEAST + len(pairs)))
    assert (words["!"], words["!</w>"]) == (0, 256)
    assert list(words)[-2:] == ["<|startoftext|>", "<|endoftext|>"]
    read = tokenizer(pairs).encode("A  large RED seven").tokens
    assert read == [
        "<|startoftext|>",
        "a</w>",
        "large</w>",
        "red</w>",
        "seven</w>",
        "<|endoftext|>",
    ]
    assert learn_pairs(CAPTIONS[::-1], 700) == pairs
    with pytest.raises(UsageError, match="text_vocabulary = 500"):
        learn_pairs(CAPTIONS, 500)


def test_prompts_are_padded_with_their_end_and_never_silently_cut():
    text = ClipText.of(Column("text", tuple(CAPTIONS)), (3, 8, 8), 0.1, vocabulary=700)
    end = text.spec()["vocabulary"] - 1
    encoded = text.encode(["a red seven", None], 2)
    assert encoded["tokens"][0, [0, 4, -1]].tolist() == [end - 1, end, end]
    assert encoded["tokens"][1].tolist() == [end - 1] + [end] * (text.length - 1)
    assert encoded["weights"].min() == 1
    assert text.encode("a (red:1.5) seven", 1)["weights"][0, :4].tolist() == [1, 1, 1.5, 1]
    long = " ".join(["seven"] * text.length)
    with pytest.raises(UsageError, match=rf"reads {text.length}; leave out 'seven seven'"):
        text.encode(long, 1)
    assert text.encode(text.cut(long), 1)["tokens"].shape == (1, text.length)
    assert text.cut("a red seven") == "a red seven"
    assert text.length == max(len(text.read(c)[0]) for c in CAPTIONS)


def test_the_state_at_the_first_end_mark_is_the_vector_and_sees_nothing_after_it():
    net = seeded(Tower(20, 6, 32, 2, 8))
    tokens = torch.tensor([[18, 3, 4, 19, 19, 19]])
    states, vector = net(tokens)
    assert torch.equal(vector, net.text_projection(states[:, 3]))
    other = net(torch.tensor([[18, 3, 4, 19, 7, 5]]))[1]
    torch.testing.assert_close(vector, other)
    assert not torch.allclose(vector, net(torch.tensor([[18, 4, 3, 19, 19, 19]]))[1])


def test_the_towers_give_the_numbers_of_the_day_they_were_equal_to_transformers():
    net = seeded(Tower(20, 6, 32, 2, 8))
    vector = net(torch.tensor([[18, 3, 4, 19, 19, 19]]))[1][0]
    assert vector[:4].tolist() == pytest.approx(GOLDEN, abs=2e-4)


GOLDEN = [-1.25, -0.29945, 0.90107, -0.2413]


def test_transformers_reads_the_same_tokens_and_vectors(tmp_path):
    transformers = pytest.importorskip("transformers")
    made = small(learn_pairs(CAPTIONS, 600))
    made.save(tmp_path / "clip")
    words = transformers.CLIPTokenizer.from_pretrained(tmp_path / "clip" / "tokenizer")
    theirs = words(WORDS, padding="max_length", max_length=40)["input_ids"]
    longer = ClipText(made.text.pairs, 40)
    assert theirs == longer.encode(WORDS, len(WORDS))["tokens"].tolist()
    place = tmp_path / "clip" / "text_encoder"
    tokens = made.text.encode(["a red seven", "blue 5", None], 3)["tokens"]
    states, vectors = made.net.text(tokens)
    tower = transformers.CLIPTextModelWithProjection.from_pretrained(place)
    found = tower(tokens)
    torch.testing.assert_close(found.text_embeds, vectors, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.last_hidden_state, states, rtol=0, atol=1e-5)
    plain, loading = transformers.CLIPTextModel.from_pretrained(place, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["mismatched_keys"]
    torch.testing.assert_close(plain(tokens).last_hidden_state, states, rtol=0, atol=1e-5)


def test_the_files_of_the_tokenizer():
    pairs = learn_pairs(CAPTIONS, 600)
    found = files(pairs, 12)
    assert found["merges.txt"].split("\n")[1:-1] == list(pairs)
    assert json.loads(json.dumps(found["vocab.json"])) == vocabulary(pairs)
    assert found["tokenizer_config.json"]["model_max_length"] == 12


def test_the_loss_of_two_pairs_by_hand():
    """Cosines 1 on the diagonal and c beside it: softplus(s (c - 1)), for images and for texts."""
    c, s = 0.6, torch.tensor(3.0)
    images = torch.eye(2)
    texts = torch.tensor([[1.0, 0.0], [c, math.sqrt(1 - c**2)]])
    by_image = [math.log1p(math.exp(3 * (c - 1))), math.log1p(math.exp(3 * (0 - 0.8)))]
    by_text = [math.log1p(math.exp(3 * (0 - 1))), math.log1p(math.exp(3 * (c - 0.8)))]
    expected = [(a + b) / 2 for a, b in zip(by_image, by_text, strict=True)]
    torch.testing.assert_close(
        contrastive_loss(images, texts, s).tolist(), expected, rtol=1e-5, atol=0
    )
    shares = [
        contrastive_loss(images[i : i + 1], texts[i : i + 1], s, images, texts, i) for i in (0, 1)
    ]
    torch.testing.assert_close(torch.cat(shares).tolist(), expected, rtol=1e-5, atol=0)


def test_the_scale_stays_below_a_hundred():
    net = small().net
    net.logit_scale.data.fill_(6.0)
    tokens = torch.full((2, 12), LEAST - 1)
    assert net.train()(torch.zeros(2, 3, 8, 8), tokens)[2].item() == pytest.approx(100)
    assert net.logit_scale.item() == pytest.approx(math.log(100))


def test_images_of_another_size_are_resized_and_that_is_told(capsys):
    made = small()
    x = np.random.default_rng(0).integers(0, 255, (3, 3, 8, 8)).astype(np.uint8)
    own = made.see(x)
    assert capsys.readouterr().err == ""
    np.testing.assert_allclose(np.linalg.norm(own, axis=1), 1, rtol=1e-6)
    twice = made.see(x.repeat(2, 2).repeat(2, 3))
    assert "sees images of 3x8x8: these, of 3x16x16, are resized" in capsys.readouterr().err
    assert (own * twice).sum(1).min() > 0.9
    assert made.see(x[:, :1]).shape == own.shape
    with pytest.raises(UsageError, match="10x10 cannot be made 4 times smaller"):
        Clip(size=(10, 10), channels=(8, 16), norm_groups=2)


def test_what_is_too_long_is_read_from_the_beginning_and_that_is_told(capsys):
    made = small()
    read = made.read(["abcdefghijklm", "abcdefghij"])
    assert "reads 12 tokens: of 1 of 2 prompts the start" in capsys.readouterr().err
    np.testing.assert_allclose(read[0], read[1], atol=1e-6)
