"""Families of parts: found by name, made from text, written to JSON."""

import pytest
import torch

from demist.codecs import CODECS
from demist.conditions import CONDITIONS
from demist.core import (
    CLOCKS,
    PARAMETERIZATIONS,
    SCHEDULES,
    VP,
    Denoiser,
    Linear,
    V,
)
from demist.errors import UsageError
from demist.evaluation.metrics import METRICS
from demist.guidance import (
    APG,
    CFG,
    RULES,
    Autoguidance,
    Clamp,
    Compose,
    Instead,
    Threshold,
    make_rule,
)
from demist.networks import NETWORKS
from demist.objectives import TIMES, WEIGHTS
from demist.parts import bare, declared, kind_of, parse, split
from demist.samplers import (
    GRIDS,
    SOLVERS,
    Churn,
    Corrected,
    Heun,
    KarrasGrid,
    make_grid,
    make_solver,
    uniform,
)


def test_notation():
    assert parse("ddim") == ("ddim", {})
    assert parse(" ddim: eta = 0.5 , a-b=x") == ("ddim", {"eta": "0.5", "a_b": "x"})
    assert parse("a:b=(c:d=1,e=(2,3)),f=4") == ("a", {"b": "(c:d=1,e=(2,3))", "f": "4"})
    assert parse("(a:b=1)") == ("a", {"b": "1"})
    assert split("1,(2,3),") == ["1", "(2,3)"]
    assert bare("(a)") == "a"
    assert bare("(a),(b)") == "(a),(b)"
    for text in ("a:b=(1", "a:b=1)", "a:b=)1("):
        with pytest.raises(UsageError, match="do not match"):
            parse(text)
    for text in ("a:b", "a:=1", "a:b="):
        with pytest.raises(UsageError, match="is not name=value"):
            parse(text)


def test_parts_in_parts():
    assert make_solver("corrected:solver=heun,n=2") == Corrected(Heun(), 2)
    nested = make_solver("corrected:solver=(churn:churn=1,gamma=0.25),delta=0.25")
    assert nested == Corrected(Churn(1.0, 0.25), 1, 0.25)
    deep = make_solver("corrected:solver=(corrected:solver=(churn:churn=inf,s_max=2),n=3)")
    assert deep == Corrected(Corrected(Churn(float("inf"), s_max=2.0), 3))


@pytest.mark.parametrize(
    "spec, words",
    [
        ("corrected:solver=huen", "no solver called 'huen'. Did you mean 'heun'"),
        ("corrected:n=1.5", "n='1.5' is not a whole number"),
        ("corrected:n=(1,2)", "is not a whole number"),
        ("corrected:solver=(heun:a=1)", "no option of solver heun called 'a'. There are: none"),
        ("corrected:solver=(churn:churn=-1),n=2", "solver 'churn:churn=-1': churn must be"),
    ],
)
def test_mistakes_are_named(spec, words):
    with pytest.raises(UsageError) as caught:
        make_solver(spec)
    assert words in str(caught.value)


FAMILIES = [
    *(SOLVERS, GRIDS, RULES, SCHEDULES, PARAMETERIZATIONS, CLOCKS, TIMES, WEIGHTS, CODECS),
    *(CONDITIONS, NETWORKS, METRICS),
]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.what)
def test_every_name_is_also_in_the_source(family):
    assert family.names() == list(declared(family.package, family.base.__name__))
    above = {cls: cls.__mro__[1] for cls in family.classes if cls.__mro__[1] in family.classes}
    derived = [cls for cls, base in above.items() if kind_of(cls) == kind_of(base)]
    assert len(family.kinds) == len(family.classes) - len(derived)


def test_measured_values_fill_what_is_left_open():
    assert GRIDS.make("karras:rho=5", start=0.5, other=3) == KarrasGrid(rho=5.0, start=0.5)
    assert GRIDS.make("karras:start=0.7", start=0.5).start == 0.7
    assert torch.equal(make_grid("uniform", 4, Linear(), start=0.6), uniform(4, 0.6))
    assert torch.equal(make_grid("uniform:start=0.3", 4, Linear(), start=0.6), uniform(4, 0.3))
    with pytest.raises(UsageError, match="'trailing' has no start"):
        make_grid("trailing", 4, Linear(), start=0.6)


def test_json_round_trip():
    value = Corrected(Churn(0.25), 3)
    text = SOLVERS.to_json(value)
    assert text["kind"] == "Corrected"
    assert text["solver"]["kind"] == "Churn"
    assert SOLVERS.from_json(text, "here") == value


MODEL, WEAK = (Denoiser(torch.nn.Identity(), VP(), V()) for _ in range(2))


def null(cond):
    return cond


def encode(words):
    return {name: (name, value) for name, value in words.items()}


@pytest.mark.parametrize(
    "spec, rule",
    [
        ("cfg", CFG(MODEL, 3.0, null)),
        ("cfg:scale=2", CFG(MODEL, 2.0, null)),
        ("apg:parallel=0.2,radius=1", APG(MODEL, 3.0, null, 0.2, 1.0)),
        ("autoguidance", Autoguidance(MODEL, WEAK, 3.0)),
        ("clamp:low=-2", Clamp(MODEL, -2.0)),
        ("threshold:model=cfg,quantile=0.9", Threshold(CFG(MODEL, 3.0, null), 0.9)),
        (
            "clamp:model=(apg:parallel=0.2,model=(autoguidance:scale=2))",
            Clamp(APG(Autoguidance(MODEL, WEAK, 2.0), 3.0, null, 0.2)),
        ),
        (
            "compose:terms=((label=3,2),(label=5,text=(red, dead),-1)),scale=0",
            Compose(
                MODEL,
                null,
                (
                    (Instead({"label": ("label", "3")}), 2.0),
                    (Instead({"label": ("label", "5"), "text": ("text", "red, dead")}), -1.0),
                ),
                0.0,
            ),
        ),
    ],
)
def test_every_rule_can_be_written(spec, rule):
    assert make_rule(spec)(MODEL, 3.0, null, weak=WEAK, encode=encode) == rule


def test_what_a_rule_needs():
    with pytest.raises(UsageError, match="'autoguidance' needs a weaker model: --weak RUN"):
        make_rule("autoguidance")(MODEL, 3.0, null)
    for spec in ("compose:terms=3", "compose:terms=(3)", "compose:terms=((label=1,x))"):
        with pytest.raises(UsageError, match=r"such as \(\(label=3,2\)\)|in parentheses"):
            make_rule(spec)
    assert make_rule("cfg").from_null
    assert not make_rule("threshold:model=cfg").from_null
    assert make_rule("cfg").is_idle(1.0)
    assert not make_rule("cfg").is_idle(1.5)
    assert not make_rule("compose:terms=((label=1,2))").is_idle(1.0)
    assert not make_rule("clamp").is_idle(1.0)
    assert not make_rule("cfg:scale=2").is_idle(1.0)


@pytest.mark.parametrize(
    "spec",
    [
        "heun",
        "ddim:eta=0.1",
        "churn:churn=inf,s_max=0.30000000000000004",
        "corrected:solver=heun,n=3",
        "corrected:solver=(churn:churn=1.0,gamma=0.25),delta=0.125",
    ],
)
def test_what_is_written_is_read_again(spec):
    assert SOLVERS.write(make_solver(spec)) == spec


def test_every_part_has_a_line_and_every_default_can_be_written():
    for family in FAMILIES:
        for row in family.rows():
            assert row.line.endswith((".", ":")), (family.what, row)
            for option in row.options:
                key, _, rest = option.partition("=")
                default = rest.partition(" (")[0]
                if default not in ("...", ""):
                    family.read(f"{row.name}:{key}={default}")
    (row,) = [row for row in SOLVERS.rows() if row.name == "corrected"]
    assert row.options == ("solver=ddim (solver)", "n=1 (whole number)", "delta=0.5 (number)")
