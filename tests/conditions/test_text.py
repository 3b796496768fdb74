import json
import subprocess
import sys

import pytest
import torch

from demist.conditions import Text, learn_tokenizer
from demist.conditions.text import split_weights
from demist.errors import MissingError, UsageError
from demist.networks.attention import attend, attention_maps
from demist.networks.conditioning import Routed
from demist.networks.cross import CrossAttention
from demist.networks.text import TextTransformer

CAPTIONS = ["A red seven, dark", "a blue three", "kind of"]
TEXT = Text(learn_tokenizer(CAPTIONS), 6)


def test_words_are_known_by_number_and_case_does_not_matter():
    read = TEXT.encode(["a red seven", "A RED SEVEN"], 2)
    ids = read["tokens"]
    assert torch.equal(ids[0], ids[1])
    assert read["weights"].tolist() == [[1, 1, 1, 1, 0, 0]] * 2
    assert TEXT.encode("", 1)["weights"].tolist() == [[1, 0, 0, 0, 0, 0]]
    vocabulary = json.loads(TEXT.tokenizer)["model"]["vocab"]
    words = {n: w for w, n in vocabulary.items()}
    assert [words[int(i)] for i in ids[0, :4]] == ["[ALL]", "a", "red", "seven"]


def test_the_same_captions_give_the_same_vocabulary():
    assert learn_tokenizer(CAPTIONS) == learn_tokenizer(reversed(CAPTIONS))


def test_weights_of_words():
    plain, at = split_weights("a (red:1.5) dot (x) (y:0)")
    assert plain == "a red dot (x) y"
    assert at[2:5] == [1.5] * 3
    assert at[0] == 1
    assert at[-1] == 0
    read = TEXT.encode(["a (red seven:1.5) dark", "a red seven dark"], 2)
    assert torch.equal(read["tokens"][0], read["tokens"][1])
    assert read["weights"][0].tolist() == [1, 1, 1.5, 1.5, 1, 0]


def test_mistakes_are_explained():
    with pytest.raises(UsageError, match=r"never read 'sevn'; did you mean 'seven'.*knows: ,, a"):
        TEXT.encode("a sevn", 1)
    with pytest.raises(UsageError, match="has 6 tokens and this model reads 5; leave out 'dark'"):
        TEXT.encode("a red seven, three dark", 1)
    with pytest.raises(UsageError, match="2 prompts for 3 samples"):
        TEXT.encode(["a", "a"], 3)
    assert TEXT.cut("a red seven, three dark") == "a red seven, three"
    assert TEXT.cut("a red") == "a red"


def test_byte_pairs_spell_anything():
    text = Text(learn_tokenizer([f"word{i} of héé" for i in range(400)], 400), 20)
    assert text.spec()["vocabulary"] == 400
    assert text.encode("ünknown (zz:2)", 1)["weights"].max() == 2
    assert text.count("word17") < text.count("zqxjkvbp")


def test_without_the_library_the_remedy_is_named():
    code = "import sys; sys.modules['tokenizers'] = None\n"
    code += "from demist.conditions import learn_tokenizer\nlearn_tokenizer(['a'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"{MissingError.__name__}: reading text needs" in done.stderr
    assert "pip install 'demist[text]'" in done.stderr


def test_a_weight_counts_like_repetition():
    q, k, v = torch.randn(3, 1, 2, 4, 8).double()
    weight = torch.tensor([[1.0, 2.0, 0.0, 1.0]]).double()
    rows = torch.tensor([0, 1, 1, 3])
    torch.testing.assert_close(attend(q, k, v, weight), attend(q, k[:, :, rows], v[:, :, rows]))
    q = q.bfloat16()
    got = attend(q, k.bfloat16(), v.bfloat16(), weight.float()).double()
    torch.testing.assert_close(got, attend(q.double(), k, v, weight), rtol=0.05, atol=0.05)


def test_padding_changes_nothing():
    torch.manual_seed(0)
    reader = TextTransformer(20, 8, 32, 2).eval()
    for block in reader.blocks:  # as if trained: new ones add nothing
        torch.nn.init.normal_(block.to_out.weight, std=0.2)
        torch.nn.init.normal_(block.linear_2.weight, std=0.2)
    ids = torch.tensor([[2, 5, 7, 3, 0, 0, 0, 0]])
    weights = torch.tensor([[1, 1, 1.5, 1, 0, 0, 0, 0]])
    other = ids.clone()
    other[0, 4:] = 9
    with torch.no_grad():
        states = reader(ids, weights)
        torch.testing.assert_close(states[:, :4], reader(other, weights)[:, :4])
        torch.testing.assert_close(reader(ids[:, :4], weights[:, :4]), states[:, :4])
        changed = ids.clone()
        changed[0, 1] = 6
        assert not torch.allclose(states[0, 0], reader(changed, weights)[0, 0])


def test_words_of_one_prompt_differ_before_training():
    """Or attention cannot tell them apart, and learns which is meant much later."""
    torch.manual_seed(0)
    made = TextTransformer(20, 12, 64, 2)(torch.arange(12)[None], torch.ones(1, 12))
    states = torch.nn.functional.normalize(made[0], dim=1)
    alike = states @ states.T - torch.eye(12)
    assert alike.mean() < 0.06


def test_maps_show_what_attends_to_what():
    torch.manual_seed(0)
    cross = CrossAttention(16, 8, head_dim=8)
    torch.nn.init.normal_(cross.to_out.weight)
    x, told = torch.randn(2, 16, 3, 3), Routed(tokens=torch.randn(2, 5, 8), weight=torch.ones(2, 5))
    told.weight[:, 4] = 0
    plain = cross(x, told)
    with attention_maps(cross) as maps:
        torch.testing.assert_close(cross(x, told), plain)
    (only,) = maps.values()
    assert only.shape == (2, 2, 9, 5)
    torch.testing.assert_close(only.sum(-1), torch.ones(2, 2, 9))
    assert (only[..., 4] == 0).all()
