"""What an evaluation asks of models with any conditions."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from demist import Pipeline
from demist.codecs import Standardize
from demist.conditions import Conditioner, Label, Labels, Numbers
from demist.core import Denoiser, Linear, Velocity
from demist.data import Column, Dataset
from demist.measuring.prompts import ask, asks_classes, values_of_rows
from demist.model.values import classes_of, negative_of, value_of
from demist.networks import MLP

DIGIT = Column("class", np.arange(20) % 3, ("zero", "one", "two"))
ANGLE = Column("numbers", np.linspace(0, 1, 20)[:, None], ("angle",))
MARKS = Column("labels", np.eye(20, 2, dtype=np.uint8), ("round", "red"))
X = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)


def model(**conditions):
    conditioner = Conditioner(conditions)
    net = MLP(features=2, out_features=2, width=8, depth=1, inlets=conditioner.specs())
    codec = Standardize((0.0, 0.0), 1.0)
    return Pipeline(Denoiser(net, Linear(), Velocity()), codec, conditioner, (2,))


def held_out(**columns):
    return Dataset(X, columns=columns)


def test_the_only_class_is_asked_for_in_proportion_whatever_it_is_called():
    pipeline, test = model(digit=Label(DIGIT.names)), held_out(digit=DIGIT)
    assert asks_classes(pipeline, test)
    asked = ask(pipeline, test, 6)
    assert sorted(asked.values["digit"]) == ["one", "one", "two", "two", "zero", "zero"]
    assert asked.classes == "digit"
    assert classes_of(pipeline) == DIGIT.names
    assert value_of(pipeline, "class", "1") == "one"
    assert negative_of(pipeline, "two") == {"digit": "two"}


def test_other_conditions_are_asked_for_as_held_out_rows_are():
    pipeline = model(
        digit=Label(DIGIT.names), angle=Numbers(("angle",), (0.0,), (1.0,)),
        marks=Labels(MARKS.names),
    )  # fmt: skip
    test = held_out(digit=DIGIT, angle=ANGLE, marks=MARKS)
    asked = ask(pipeline, test, 8)
    assert asked.sentence == "asked for digit, angle, marks of 8 held-out samples"
    asked = replace(asked, values=json.loads(json.dumps(asked.values)))  # as workers get it
    rows = np.random.default_rng(0).permutation(20)[:8]
    assert asked.values["digit"] == [DIGIT.names[i % 3] for i in rows]
    assert np.allclose(np.ravel(asked.values["angle"]), ANGLE.values[rows, 0])
    given = pipeline.conditioner.encode(8, {k: asked.of(k, 8) for k in asked.values})
    x = X[rows]
    known = pipeline.conditioner.encode(8, values_of_rows(pipeline, test, rows.tolist(), x))
    assert given.keys() == known.keys()
    assert all(torch.equal(given[name], known[name]) for name in given)


def test_several_classes_have_no_short_form():
    pipeline = model(digit=Label(DIGIT.names), speaker=Label(("ann", "bob")))
    assert classes_of(pipeline) == ()
    with pytest.raises(Exception, match="no condition 'class'; it has digit, speaker"):
        value_of(pipeline, "class", "one")


def test_none_is_the_null_of_any_condition_but_a_prompt_or_a_class_called_so():
    pipeline = model(marks=Labels(MARKS.names), angle=Numbers(("angle",), (0.0,), (1.0,)))
    assert value_of(pipeline, "marks", "none") is None
    assert value_of(pipeline, "angle", "none") is None
    assert value_of(model(marks=Labels(("none", "red"))), "marks", "none") == "none"


def test_what_the_data_does_not_say_is_not_asked_for():
    pipeline = model(angle=Numbers(("angle",), (0.0,), (1.0,)))
    assert ask(pipeline, held_out(), 4).sentence == "asked for nothing"
