"""Textual inversion: words that stand for vectors, in every published form of file."""

import pytest
import torch
from safetensors.torch import save_file

from demist.conditions import Conditioner, PromptStates, TextEncoder, chunks_of
from demist.core import Denoiser, Eps, Linear
from demist.errors import DataError, UsageError
from demist.interop import adapters

from .test_lora import Words, net_of


class Tokenizer:
    """Words are token 3, between 1 and 2; padding is 0."""

    def __call__(self, text, padding=False, max_length=0, add_special_tokens=True,
                 return_offsets_mapping=False):  # fmt: skip
        count = len(text.split())
        ids = [1, *[3] * count, 2] if add_special_tokens else [3] * count
        rest = max_length - len(ids) if padding else 0
        return {"input_ids": ids + [0] * rest, "offset_mapping": [(0, 1)] * count}


def encoders(*widths):
    torch.manual_seed(0)
    names = [f"text_encoder{'_2' * i}" for i in range(len(widths))]
    made = []
    for name, width in zip(names, widths, strict=True):
        words = Words(width=width)
        made.append(TextEncoder(name, name, lambda words=words: words, Tokenizer, 10))
    return Conditioner({"text": PromptStates(tuple(made))})


def save(path, **tensors):
    save_file({k: v.contiguous() for k, v in tensors.items()}, path)
    return path


def read(conditioner, *files):
    return adapters.with_embeddings(conditioner, [adapters.read_embedding(str(f)) for f in files])


FORMS = {
    "emb_params": ({"emb_params": (3, 6)}, "moss", 3),
    "one tensor of its word": ({"<moss>": (2, 6)}, "<moss>", 2),
    "one vector": ({"<moss>": (6,)}, "<moss>", 1),
    "clip_l": ({"clip_l": (2, 6)}, "moss", 2),
}


@pytest.mark.parametrize(("shapes", "word", "count"), FORMS.values(), ids=FORMS)
def test_a_word_is_rows_after_the_vocabulary(tmp_path, shapes, word, count):
    (name, shape), = shapes.items()  # fmt: skip
    vectors = torch.randn(shape)
    before = encoders(6)
    after = read(before, save(tmp_path / "moss.safetensors", **{name: vectors}))
    old, new = (c.conditions["text"].encoders[0] for c in (before, after))
    assert new.words == {word: tuple(range(9, 9 + count))}
    (chunk,) = chunks_of(new, f"a {word} b")
    assert chunk.ids[2 : 2 + count] == tuple(range(9, 9 + count))
    table = new.model.get_input_embeddings()
    assert torch.equal(table(torch.tensor(new.words[word])), vectors.reshape(count, 6))
    assert torch.equal(table.weight[:9], old.model.get_input_embeddings().weight)
    assert len(old.model.get_input_embeddings().weight) == 9
    assert old.words == {}


def test_two_encoders(tmp_path):
    low, g = torch.randn(2, 6), torch.randn(2, 8)
    both = save(tmp_path / "x.safetensors", clip_l=low, clip_g=g)
    one, two = read(encoders(6, 8), f"{both}=moss").conditions["text"].encoders
    assert one.words == two.words == {"moss": (9, 10)}
    assert torch.equal(one.model.get_input_embeddings().weight[9:], low)
    assert torch.equal(two.model.get_input_embeddings().weight[9:], g)
    with pytest.warns(UserWarning, match="moss.*text_encoder_2 reads it as any other word"):
        one, two = (
            read(encoders(6, 8), save(tmp_path / "moss.safetensors", emb_params=low))
            .conditions["text"]
            .encoders
        )
    assert (len(one.words), len(two.words)) == (1, 0)


def test_several_files(tmp_path):
    a = save(tmp_path / "a.safetensors", emb_params=torch.randn(2, 6))
    b = save(tmp_path / "b.safetensors", emb_params=torch.randn(1, 6))
    (reader,) = read(encoders(6), a, b).conditions["text"].encoders
    assert reader.words == {"a": (9, 10), "b": (11,)}
    with pytest.raises(UsageError, match="'A' is taken"):
        read(encoders(6), a, f"{b}=A")


def test_words_inside_a_lora(tmp_path):
    """cloneofsimo's files teach words beside their layers."""
    vector, tensors = torch.randn(6), {}
    for i in range(4):
        tensors |= {f"text_encoder:{i}:down": torch.randn(1, 6),
                    f"text_encoder:{i}:up": torch.randn(6, 1)}  # fmt: skip
    path = tmp_path / "x.safetensors"
    told = {"text_encoder": '["CLIPAttention"]', "<s1>": "<embed>"}
    save_file({"<s1>": vector, **tensors}, path, told)
    before = encoders(6)
    denoiser = Denoiser(net_of(), Linear(), Eps())
    _, after = adapters.with_loras(denoiser, before, [(adapters.read_lora(path), 1.0)])
    old, new = (c.conditions["text"].encoders[0].model for c in (before, after))
    assert torch.equal(new.get_input_embeddings().weight[9], vector)
    assert after.conditions["text"].encoders[0].words == {"<s1>": (9,)}
    for i, x in enumerate(("k_proj", "v_proj", "q_proj", "out_proj")):
        name = f"text_model.encoder.layers.0.self_attn.{x}"
        change = tensors[f"text_encoder:{i}:up"] @ tensors[f"text_encoder:{i}:down"]
        expected = old.get_submodule(name).weight + change
        torch.testing.assert_close(new.get_submodule(name).weight, expected)


@pytest.mark.parametrize(
    ("tensors", "spec", "kind", "words"),
    [
        ({"a": (1, 6), "b": (1, 6)}, "", DataError, r"2 \(a, b\), and a textual inversion has"),
        ({"emb_params": (1, 768)}, "", DataError, "768 numbers.*text_encoder: 6.*another family"),
        ({"clip_g": (1, 6)}, "", DataError, "6 numbers for the text_encoder_2"),
        ({"emb_params": (1, 1, 6)}, "", DataError, "no embedding"),
        ({"emb_params": (0, 6)}, "", DataError, "no embedding"),
        ({"emb_params": (1, 6)}, "=a b", UsageError, "'a b', which no prompt can have"),
        ({"emb_params": (1, 6)}, "=(a)", UsageError, "FILE=word"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, tensors, spec, kind, words):
    path = save(tmp_path / "x.safetensors", **{k: torch.zeros(s) for k, s in tensors.items()})
    with pytest.raises(kind, match=words) as caught:
        read(encoders(6), f"{path}{spec}")
    assert str(path) in str(caught.value)


def test_a_model_without_text(tmp_path):
    path = save(tmp_path / "x.safetensors", emb_params=torch.zeros(1, 6))
    with pytest.raises(UsageError, match="no text encoder"):
        read(Conditioner(), path)
