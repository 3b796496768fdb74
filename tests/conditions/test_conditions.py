import numpy as np
import pytest
import torch

from demist.conditions import Conditioner, Label
from demist.errors import UsageError

LABEL = Label(("cat", "dog", "7"), drop=0.25)


@pytest.mark.parametrize(
    "values, indices",
    [
        ("dog", [1, 1, 1]),
        (2, [2, 2, 2]),
        (None, [3, 3, 3]),
        (["cat", 1, None], [0, 1, 3]),
        ("7", [2, 2, 2]),  # a name goes before an index
        ("0", [0, 0, 0]),
        (np.array([2, 0, 1]), [2, 0, 1]),
        (torch.tensor([2, 0, 3 - 2]), [2, 0, 1]),
    ],
)
def test_label_encodes(values, indices):
    encoded = LABEL.encode(values, 3)["index"]
    assert encoded.dtype == torch.int64
    assert encoded.tolist() == indices


@pytest.mark.parametrize(
    "value, words",
    [
        ("dgo", "there is no class 'dgo'; did you mean 'dog'? There are: cat, dog, 7"),
        (3, "there is no class 3. There are: cat, dog, 7"),
        (-1, "there is no class -1"),
        ("9", "there is no class 9"),
        (["cat", "dog"], "got 2 labels for 3 samples"),
    ],
)
def test_label_mistakes(value, words):
    with pytest.raises(UsageError) as caught:
        LABEL.encode(value, 3)
    assert str(caught.value).startswith(words)


def test_many_classes_are_not_all_listed():
    label = Label(tuple(f"class{i}" for i in range(1000)))
    with pytest.raises(UsageError, match=r"class19, \.\.\. \(1000 in all\)"):
        label.encode("nothing like it", 1)
    for classes in ((), ("a", "a")):
        with pytest.raises(ValueError, match="distinct"):
            Label(classes)


def test_conditioner_fills_in_nulls():
    conditioner = Conditioner({"label": LABEL})
    assert conditioner.encode(2, {})["label"].tolist() == [3, 3]
    assert conditioner.encode(2, {"label": "dog"})["label"].tolist() == [1, 1]
    assert conditioner.null({"label": torch.tensor([0, 1])})["label"].tolist() == [3, 3]
    with pytest.raises(UsageError, match="no condition 'text'; it has label"):
        conditioner.encode(2, {"text": "x"})
    with pytest.raises(UsageError, match="unconditional"):
        Conditioner().encode(2, {"label": "dog"})
    assert Conditioner().encode(2, {}) == {}


def test_drop_hides_where_the_number_is_below_the_rate():
    asked = []

    def uniforms(name):
        asked.append(name)
        return torch.tensor([0.1, 0.2499, 0.25, 0.9], dtype=torch.float64)

    cond = {"label": torch.tensor([0, 1, 2, 0])}
    dropped = Conditioner({"label": LABEL}).drop(cond, uniforms)
    assert dropped["label"].tolist() == [3, 3, 2, 0]
    assert cond["label"].tolist() == [0, 1, 2, 0]
    assert asked == ["label"]
    never = Conditioner({"label": Label(("a", "b"), drop=0.0)})
    assert never.drop({"label": torch.tensor([0, 1])}, uniforms)["label"].tolist() == [0, 1]
    assert asked == ["label"]
