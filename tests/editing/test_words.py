"""Which words stand where words of another prompt stood."""

import pytest
import torch
from small import TEXT

from demist.conditions import ClipText, Label
from demist.editing import aligned, correspondence, split, swapped, weighed
from demist.errors import UsageError


def between(old, new, weights=None):
    return correspondence(TEXT.readings(old), TEXT.readings(new), weights)


def pairs(found):
    return {tuple(pair) for pair in found.mapper.nonzero().tolist()}


def test_words_are_aligned_by_the_fewest_edits():
    assert aligned(["a", "red", "3"], ["a", "blue", "3"]) == [(0, 0), (1, 1), (2, 2)]
    assert aligned(["a", "3"], ["a", "big", "3"]) == [(0, 0), (None, 1), (1, 2)]
    assert aligned(["a", "big", "3"], ["a", "3"]) == [(0, 0), (1, None), (2, 1)]
    assert aligned([], ["a"]) == [(None, 0)]
    assert aligned(list("kitten"), list("sitting"))[-1] == (None, 6)


def test_the_same_prompt_is_the_identity():
    found = between("a red three", "a red three")
    assert torch.equal(found.mapper, torch.eye(10))
    assert found.gone.sum() == found.come.sum() == 0
    assert (found.weights == 1).all()


def test_a_changed_word_takes_over_and_an_added_one_is_new():
    changed = between("a red three", "a green three")
    assert torch.equal(changed.mapper, torch.eye(10))
    assert changed.gone.nonzero().tolist() == changed.come.nonzero().tolist() == [[2]]
    added = between("a red three", "a big red three")
    # [ALL] a big red three, then padding: old padding 4 to 9, new 5 to 9.
    assert pairs(added) == {(0, 0), (1, 1), (2, 3), (3, 4), *((k, k + 1) for k in range(4, 9))}
    assert added.come.nonzero().tolist() == [[2]]
    assert added.gone.sum() == 0


def test_a_word_of_several_tokens_is_spread_evenly():
    pieces = ClipText((), 12)
    old, new = pieces.readings("a no"), pieces.readings("a yes")
    found = correspondence(old, new)
    # begin, a, n o, end ... against begin, a, y e s, end ...
    torch.testing.assert_close(found.mapper[2:4, 2:5], torch.full((2, 3), 1 / 3))
    torch.testing.assert_close(found.mapper.sum(0)[:5], torch.tensor([1.0, 1, 2 / 3, 2 / 3, 2 / 3]))
    assert found.mapper[4, 5] == 1, "the end mark is the end mark"


def test_weights_of_words_and_phrases():
    found = between("a red three", "a red three", {"red three": 2.0})
    assert found.weights.tolist() == [1, 1, 2, 2, 1, 1, 1, 1, 1, 1]
    assert found.come.nonzero().flatten().tolist() == [2, 3]
    with pytest.raises(UsageError, match=r"cannot weigh 'blue'.*'a red three' does not"):
        between("a red three", "a red three", {"blue": 2.0})
    assert weighed("a {red:1.5} three") == ("a red three", {"red": 1.5})
    with pytest.raises(UsageError, match="weight 'much' of 'red'"):
        weighed("a {red:much} three")


def test_words_are_swapped_as_wholes():
    assert swapped("a seven on seventy", "seven->three") == "a three on seventy"
    assert swapped("a Red seven", "red->blue, seven->three") == "a blue three"
    assert swapped("a red seven", "red->") == "a seven"
    with pytest.raises(UsageError, match=r"write what is there"):
        swapped("a red seven", "red")
    with pytest.raises(UsageError, match=r"does not have 'green'"):
        swapped("a red seven", "green->blue")
    assert split("It's red-ish, (7).") == ["it's", "red-ish", ",", "(", "7", ")", "."]


def test_a_class_has_no_words():
    with pytest.raises(UsageError, match="label is no prompt"):
        Label(("a", "b")).readings("a")
