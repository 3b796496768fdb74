"""What is made of the outputs of text encoders, on encoders that count letters."""

from types import SimpleNamespace

import torch
from torch import nn

from demist.conditions import PromptStates, TextEncoder


class Letters:
    """A tokenizer: one token a letter, and the end."""

    def __call__(self, text, padding=None, max_length=0, add_special_tokens=True,
                 return_offsets_mapping=False):  # fmt: skip
        ids = [ord(c) for c in text] + [1] * add_special_tokens
        rest = 0 if padding is None else max_length - len(ids)
        spans = [(i, i + 1) for i in range(len(text))]
        return {"input_ids": ids + [0] * rest, "offset_mapping": spans}

    def decode(self, ids):
        return "".join(map(chr, ids))


class Echo(nn.Module):
    """States are the tokens, twice; the vector their sum. What is hidden counts as -1."""

    def forward(self, ids, attention_mask=None, output_hidden_states=False):
        seen = ids if attention_mask is None else torch.where(attention_mask > 0, ids, -1)
        states = seen[..., None].float().expand(-1, -1, 2)
        return SimpleNamespace(
            last_hidden_state=states, hidden_states=[0 * states, states, 2 * states],
            pooler_output=states.sum(1),
        )  # fmt: skip


def echo(name, length):
    return TextEncoder(name, name, Echo, Letters, length)


def test_padding_is_hidden_and_the_network_is_told_where():
    text = PromptStates(
        (), tokens=False, long=echo("t5", 4), long_length=4, masked=True, lower=True
    )
    parts = text.encode(["Ab ", None], 2)
    assert parts["states"][..., 0].tolist() == [[97, 98, 1, -1], [1, -1, -1, -1]]
    assert parts["mask"].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
    assert parts.keys() == {"states", "mask"}


def test_vectors_of_one_encoder_and_tokens_of_the_other():
    text = PromptStates(
        (echo("clip", 3),), tokens=False, pooled="last", long=echo("t5", 4), long_length=4
    )
    parts = text.encode("Ab", 2)
    assert parts["states"][..., 0].tolist() == [[65, 98, 1, 0]] * 2
    assert parts["pooled"].tolist() == [[164, 164]] * 2


def test_side_by_side_then_zeros_for_a_missing_encoder():
    text = PromptStates((echo("a", 2), echo("b", 2)), layer=-2, width=6, long_length=2)
    states = text.encode("A", 1)["states"][0]
    assert states.tolist() == [[65, 65, 65, 65, 0, 0], [1, 1, 1, 1, 0, 0], [0] * 6, [0] * 6]
