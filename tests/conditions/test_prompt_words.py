"""Weights and chunks of prompts, on a tokenizer of words and an encoder that gives its ids."""

import re
from types import SimpleNamespace

import pytest
import torch

from demist.conditions import (
    Conditioner,
    PromptStates,
    TextEncoder,
    chunks_of,
    weighted_text,
)
from demist.errors import UsageError

BEGIN, END, PAD, COMMA = 1, 2, 3, 4
WORDS = {",": COMMA}


class Tokenizer:
    """Words and marks are tokens, numbered as they come; offsets as `tokenizers` gives them."""

    def __call__(self, text, padding=False, max_length=0, add_special_tokens=True,
                 return_offsets_mapping=False):  # fmt: skip
        found = list(re.finditer(r"\w+|[^\w\s]", text))
        ids = [WORDS.setdefault(m[0], len(WORDS) + COMMA) for m in found]
        ids = [BEGIN, *ids, END] if add_special_tokens else ids
        ids += [PAD] * (max_length - len(ids)) if padding else []
        return {"input_ids": ids, "offset_mapping": [m.span() for m in found]}

    def decode(self, ids):
        return " ".join(word for i in ids for word, n in WORDS.items() if n == i)


class Encoder(torch.nn.Module):
    """State of a token: its number and its square, plus how many are attended to."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(max_position_embeddings=8)

    def forward(self, ids, attention_mask=None, output_hidden_states=False):
        x = torch.stack([ids.float(), ids.float() ** 2 + 0.5], dim=-1)
        return SimpleNamespace(
            last_hidden_state=x, hidden_states=[x, 2 * x], pooler_output=x.sum(1), seen=ids
        )


def encoder(name="text_encoder", words=None):
    return TextEncoder(name, name, Encoder, Tokenizer, words=words)


def ids_of(text, whole=False, words=None):
    return [chunk.ids for chunk in chunks_of(encoder(words=words), text, whole)]


def numbers(text):
    return Tokenizer()(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    ("text", "plain", "weights"),
    [
        ("a cat", "a cat", [1] * 5),
        ("a (cat:1.5)", "a cat", [1, 1, 1.5, 1.5, 1.5]),
        ("(ab)c", "abc", [1.1, 1.1, 1]),
        ("((a))b", "ab", [1.21, 1]),
        ("[a]b", "ab", [1 / 1.1, 1]),
        ("(a (b:2)c:0.5)d", "a bcd", [0.5, 0.5, 1, 0.5, 1]),
        ("(a:1)b", "ab", [1, 1]),
        (r"\(a\) \[b\] \\", r"(a) [b] \ "[:-1], [1] * 9),
        ("a (b", "a b", [1, 1, 1.1]),
        ("a) b]", "a) b]", [1] * 5),
        ("a:1.5)", "a:1.5)", [1] * 6),
        ("(a: .5 )b", "ab", [0.5, 1]),
        ("(a:-1)", "a", [-1]),
        ("(a [b)c]", "a bc", [1.1, 1.1, 1, 1 / 1.1]),
        ("a: b", "a: b", [1] * 4),
        ("", "", []),
    ],
)
def test_brackets(text, plain, weights):
    found, at = weighted_text(text)
    assert found == plain
    assert at == pytest.approx(weights)


def test_one_chunk_is_what_the_tokenizer_makes():
    text = "a cat, a dog"
    assert ids_of(text) == [tuple(Tokenizer()(text, padding=True, max_length=8)["input_ids"])]
    assert ids_of("") == [(BEGIN, END, *[PAD] * 6)]


def test_long_prompts_are_cut_after_punctuation():
    with pytest.warns(UserWarning, match=r"9 tokens and text_encoder reads 6 at once: .* 2 chunks"):
        first, second = ids_of("a b c, d e f g h")
    assert first == (BEGIN, *numbers("a b c ,"), END, PAD, PAD)
    assert second == (BEGIN, *numbers("d e f g h"), END, PAD)
    with pytest.warns(UserWarning, match="2 chunks"):
        first, second = ids_of("a b c d e f g")
    assert first == (BEGIN, *numbers("a b c d e f"), END)
    assert second == (BEGIN, *numbers("g"), END, *[PAD] * 5)


@pytest.mark.filterwarnings("ignore:the prompt has")
def test_break_begins_a_chunk():
    assert ids_of("a BREAK b") == [*ids_of("a"), *ids_of("b")]
    assert ids_of("BREAK b") == [*ids_of(""), *ids_of("b")]
    assert ids_of("a BREAK BREAK b") == [*ids_of("a"), *ids_of(""), *ids_of("b")]
    assert ids_of("a BREAK") == ids_of("a")
    assert ids_of("BREAKFAST") == ids_of("BREAKFAST ")
    assert ids_of("a BREAK b", whole=True) == ids_of("a b")


def test_what_an_encoder_without_chunks_leaves_out_is_told():
    with pytest.warns(UserWarning, match="left out"):
        (only,) = ids_of("a b c d e, f g", whole=True)
    assert only == (BEGIN, *numbers("a b c d e ,"), END)


def test_words_of_several_vectors():
    words = {"<cat>": (90, 91), "art": (92,)}
    ids = ids_of("a <CAT>, art", words=words)[0]
    assert ids[:7] == (BEGIN, *numbers("a"), 90, 91, COMMA, 92, END)
    assert ids_of("a party", words=words) == ids_of("a party")
    (chunk,) = chunks_of(encoder(words=words), "a (<cat>:2)")
    assert chunk.weights == (1, 1, 2, 2, 1, 1, 1, 1)


def test_weights_multiply_states_and_keep_their_mean():
    prompt = PromptStates((encoder(),))
    plain = prompt.encode("a cat", 1)["states"][0]
    assert torch.equal(prompt.encode("a (cat:1.0)", 1)["states"][0], plain)
    found = prompt.encode("a (cat:1.5)", 1)["states"][0]
    torch.testing.assert_close(found.mean(), plain.mean())
    ratio = found / plain
    torch.testing.assert_close(ratio[2] / ratio[1], torch.tensor([1.5, 1.5]))
    torch.testing.assert_close(ratio[0], ratio[-1])


def test_vectors_for_the_whole_are_of_the_first_chunk_and_without_weights():
    prompt = PromptStates((encoder(),), pooled="last")
    short, weighted = prompt.encode("a b", 1), prompt.encode("a (b:2)", 1)
    assert torch.equal(short["pooled"], weighted["pooled"])
    with pytest.warns(UserWarning, match="2 chunks"):
        long = prompt.encode("a b BREAK c", 1)
    assert torch.equal(short["pooled"], long["pooled"])
    assert long["states"].shape == (1, 16, 2)


@pytest.mark.filterwarnings("ignore:the prompt has")
@pytest.mark.parametrize("zeros", [False, True])
def test_prompt_negative_and_null_have_one_length(zeros):
    """The shorter one is followed by empty chunks."""
    whole = Conditioner({"text": PromptStates((encoder(),), zeros=zeros)})
    long, short = {"text": ["a BREAK b BREAK c", "d"]}, {"text": "e"}
    room = whole.holding(long, short)
    assert whole.holding(short) is whole
    given, negative = room.encode(2, long)["text"], room.encode_only(1, short)["text"]
    null = room.null({"text": given})["text"]
    assert given.shape == null.shape == (2, 24, 2)
    one, empty = (whole.encode(1, {"text": text})["text"][0] for text in ("e", ""))
    assert torch.equal(negative[0], torch.cat([one, empty, empty]))
    assert torch.equal(null[0], torch.cat([empty] * 3) * (not zeros))
    # Without a negative, and with an empty one: not the same for a model of zeros.
    assert torch.equal(room.encode_only(1, {"text": ""})["text"][0], torch.cat([empty] * 3))
    assert torch.equal(given[1, 8:], torch.cat([empty, empty]))


@pytest.mark.filterwarnings("ignore:the prompt has")
def test_two_encoders_have_as_many_chunks():
    """A word of many vectors may need a further chunk in one of them alone."""
    one, two = encoder("a", {"x": tuple(range(50, 60))}), encoder("b")
    states = PromptStates((one, two)).encode("x", 1)["states"]
    assert states.shape == (1, 16, 4)
    assert states[0, 8:, 2].tolist() == [BEGIN, END, *[PAD] * 6]


def test_a_long_encoder_reads_on_where_the_others_end():
    long = encoder("t5")
    long._length = 12
    prompt = PromptStates((encoder(),), pooled="all", long=long, long_length=12)
    with pytest.warns(UserWarning, match="text_encoder reads 6 at once: what comes after"):
        found = prompt.encode("a b c d e f g", 1)
    assert found["states"].shape == (1, 8 + 12, 2)
    assert found["states"][0, 8:, 0].tolist()[:9] == [BEGIN, *numbers("a b c d e f g"), END]


def test_what_is_understood_is_told():
    prompt = PromptStates((encoder(),))
    with pytest.warns(UserWarning, match=r"brackets in the prompt are weights"):
        prompt.encode("a (b)", 1)
    with pytest.warns(UserWarning, match=r"\[x\|y\] is no change of the prompt"):
        prompt.encode("a [x|y]", 1)
    with pytest.raises(UsageError, match=r"--lora FILE:0\.8"):
        prompt.encode("a <lora:x:1>", 1)
    for text in ("(a:1000)", "(" * 9999 + "a"):
        with pytest.raises(UsageError, match="100 is the limit"):
            prompt.encode(text, 1)


@pytest.mark.filterwarnings("ignore:the prompt has", "ignore:brackets")
@pytest.mark.parametrize("long", [False, True])
def test_readings_say_which_word_each_token_is(long):
    """For each token that the network attends to, chunks, marks and padding included."""
    if long:
        text = PromptStates((encoder("a"),), long=encoder("t5"), long_length=8)
    else:
        text = PromptStates((encoder("a"), encoder("b")))
    prompt = "one (two:1.5), three BREAK four, five six seven [eight] nine"
    held = text.holding(prompt)
    readings = held.readings(prompt)
    said = [plain[a:b] for plain, spans in readings for a, b in spans]
    assert len(said) == len(held.encode(prompt, 1)["states"][0])
    if long:  # each reads what it can of the prompt, which nothing breaks
        assert said == ["", "one", "two", ",", "three", "four", ",", ""] * 2
        return
    assert said[:8] == ["", "one", "two", ",", "three", "", "", ""]
    assert said[8:16] == ["", "four", ",", "", "", "", "", ""]
    assert said[16:] == ["", "five", "six", "seven", "eight", "nine", "", ""]
