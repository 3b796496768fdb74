"""Rules of guidance asked for by name: through the pipeline, exactly, and by `demist sample`."""

import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch

from demist.cli import main
from demist.codecs import Standardize
from demist.conditions import Conditioner, Label
from demist.core import VP, X0, Denoiser, Linear, TimeClock
from demist.drawing import read_metadata
from demist.errors import UsageError
from demist.model import Pipeline, Sampling

MEANS = {"a": 1.0, "b": -0.5, "c": 0.4, "2a-b": 2.5, "2a-b+3c": 3.7, "2a-b+c": 2.9, "3a": 3.0}
"""Means of the classes; that of no class is 0. All deviations are one, so that a combination of
denoisers is the denoiser of the class with the combined mean."""
WEAK = {**MEANS, "a": 0.25, "b": -1.0}
STD = 0.5
TERMS = "compose:terms=((label=a,2),(label=b,-1))"


class Exact(torch.nn.Module):
    """E[x0 | x_t] of one Gaussian for each label; wrong while training."""

    def __init__(self, means):
        super().__init__()
        self.means = torch.nn.Parameter(torch.tensor([*means, 0.0]))

    def forward(self, x, t, label=None):
        label = torch.full((len(x),), len(self.means) - 1) if label is None else label
        mean, t = self.means[label][:, None], t.reshape(-1, 1).to(x)
        gain = (1 - t) * STD**2 / ((1 - t) ** 2 * STD**2 + t**2)
        return mean + gain * (x - (1 - t) * mean) + 5 * self.training


def made(means=MEANS, conditional=True, schedule=Linear()):
    known = {"label": Label(tuple(means))} if conditional else {}
    net = Exact(means.values() if conditional else ())
    if not conditional:
        with torch.no_grad():
            net.means.fill_(next(iter(means.values())))
    codec, how = Standardize((0.0,), 1.0), Sampling(steps=8)
    return Pipeline(
        Denoiser(net, schedule, X0(), clock=TimeClock()), codec, Conditioner(known), (1,), how
    )


@pytest.fixture
def exact():
    return made()


def same(a, b):
    return np.array_equal(a, b)


def near(a, b):
    return np.abs(a - b).max() < 1e-5


@pytest.mark.parametrize(
    "how, combined",
    [
        ({}, "2a-b"),
        ({"label": "c", "guidance": 0.0}, "2a-b"),
        ({"label": "c", "guidance": 1.0}, "2a-b+c"),
        ({"label": "c", "guidance": 3.0}, "2a-b+3c"),
        ({"label": "c", "guidance": 3.0, "guidance_interval": (0.0, 1.0)}, "2a-b+3c"),
        ({"label": "c", "guidance": 9.0, "guidance_interval": (0.001, 0.002)}, "2a-b+c"),
    ],
)
def test_compose_is_the_class_with_the_combined_mean(exact, how, combined):
    assert near(exact.sample(9, guidance_rule=TERMS, **how), exact.sample(9, label=combined))


def test_a_combined_mean_is_where_the_samples_go(exact):
    how = {"steps": 60, "guidance_rule": TERMS}
    apart = exact.sample(9, **how) - exact.sample(9, steps=60)
    assert np.abs(apart - 2.5).max() < 1e-3


def test_values_of_terms_are_typed_as_everywhere(exact):
    want = exact.sample(4, label="2a-b")
    for terms in ("((class=a,2),(class=b,-1))", "((label=0,2),(label=1,-1))"):
        assert near(exact.sample(4, guidance_rule=f"compose:terms={terms}"), want)


@pytest.mark.parametrize("rule", ["cfg", "apg:parallel=1", "rescale:share=0"])
def test_rules_from_the_null_extrapolate(exact, rule):
    got = exact.sample(5, label="a", guidance=3.0, guidance_rule=rule)
    assert near(got, exact.sample(5, label="3a"))
    own = exact.sample(5, label="a", guidance_rule=f"{rule}{',' if ':' in rule else ':'}scale=3")
    assert same(got, own)


def test_autoguidance_leads_away_from_the_weak_model(exact):
    def guided(weak, **how):
        return exact.sample(9, label="a", guidance_rule="autoguidance", weak=weak, **how)

    plain, weak = exact.sample(9, label="a"), made(WEAK)
    assert near(guided(exact, guidance=3.0), plain)
    assert same(guided(weak, guidance=1.0), plain)
    # 0.25 + 3 (1 - 0.25) = 2.5
    weak.denoiser.train()
    assert near(guided(weak, guidance=3.0), exact.sample(9, label="2a-b"))
    assert weak.denoiser.training
    free = exact.sample(9, guidance_rule="autoguidance", weak=weak, guidance=3.0)
    assert near(free, exact.sample(9))  # both have mean 0 without a class


def test_autoguidance_of_unconditional_models():
    strong, weak = made({"x": 1.0}, False), made({"x": 0.5}, False)
    got = strong.sample(6, guidance_rule="autoguidance", weak=weak, guidance=3.0)
    assert near(got, made({"x": 2.0}, False).sample(6))


@pytest.mark.parametrize("how", [{}, {"label": "a"}, {"label": "a", "guidance": 1.0}])
def test_clamp_acts_without_conditions_and_scale(exact, how):
    how = {"solver": "ddim", **how}  # whose last step gives the predicted data
    clamped = exact.sample(20, guidance_rule="clamp:low=-0.1,high=0.2", **how)
    assert clamped.min() >= -0.1 - 1e-6
    assert clamped.max() <= 0.2 + 1e-6
    bounded = exact.sample(20, guidance_rule="threshold:quantile=1,bound=0.2", **how)
    assert np.abs(bounded).max() <= 0.2 + 1e-6
    assert not same(clamped, bounded)


def test_what_does_nothing_leaves_the_model_alone(exact):
    for how in (
        {"label": "a", "guidance": 1.0},
        {"guidance": 9.0},
        {"guidance": 9.0, "guidance_rule": "apg"},
        {"label": None, "guidance": 9.0, "guidance_rule": "rescale"},
        {"label": "a", "guidance": 1.0, "negative": {"label": None}},
    ):
        assert exact.plan(2, **how).model is exact.denoiser


@pytest.mark.parametrize(
    "how, words",
    [
        ({"guidance_rule": "compose"}, "'compose' has nothing to compose; write conditions"),
        ({"guidance_rule": "clamp:model=compose"}, "'compose' has nothing to compose"),
        ({"guidance_rule": "compose:terms=((text=x,2))"}, "no condition 'text'; it has label"),
        ({"guidance_rule": "compose:terms=((label=x,2))"}, "x"),
        ({"guidance_rule": "autoguidance"}, "needs a weaker model: --weak RUN"),
        ({"weak": made()}, "weak: the rule cfg uses no weaker model"),
        ({"guidance_rule": "clamp", "guidance": 3.0}, "the rule clamp has no scale"),
        (
            {"guidance_rule": "cfg:scale=3", "guidance_interval": (0.1, 0.8)},
            "cfg:scale=3 has none or gives its own",
        ),
        ({"guidance_rule": "threshold", "negative": {"label": "a"}}, "leads away from no cond"),
        ({"label": "a", "guidance": 1.0, "negative": {"label": "b"}}, "leads away from nothing"),
    ],
)
def test_what_cannot_work_is_refused(exact, how, words):
    with pytest.raises(UsageError) as caught:
        exact.sample(2, **how)
    assert words in str(caught.value)


def test_a_model_that_never_hid_its_conditions_has_no_null(exact):
    always = replace(exact, conditioner=Conditioner({"label": Label(tuple(MEANS), drop=0.0)}))
    for how in ({"label": "a", "guidance": 2.0}, {"guidance_rule": TERMS}):
        with pytest.raises(UsageError, match="label_drop = 0"):
            always.sample(2, **how)
    # Its drop rate is no reason to refuse it as a weak one, nor does autoguidance need a null.
    for strong, weak in ((exact, always), (always, exact)):
        strong.sample(2, label="a", guidance=2.0, guidance_rule="autoguidance", weak=weak)


@pytest.mark.parametrize(
    "weak, words",
    [
        (made(conditional=False), "the weak model's conditions are none, this model's label"),
        (made({**MEANS, "new": 1.0}), "condition 'label' is not that of this model"),
        (made(schedule=VP()), "the weak model's schedule is {'kind': 'VP'"),
        (replace(made(), codec=Standardize((1.0,), 1.0)), "the weak model's codec is"),
    ],
)
def test_a_weak_model_must_be_alike(exact, weak, words):
    with pytest.raises(UsageError) as caught:
        exact.sample(2, guidance_rule="autoguidance", weak=weak)
    assert words in str(caught.value)


# ------------------------------------------------------------------ demist sample


def drawn(line, name="o"):
    """The samples that a command writes."""
    words = [*shlex.split(line), "--steps", "2", "--force", "--out", f"{name}.png"]
    assert main(["sample", "digits", *words, "--arrays", f"{name}.npy"]) == 0
    return np.load(f"{name}.npy", allow_pickle=False).astype(int)


@pytest.mark.slow
def test_every_rule_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = drawn("--n 2 --class 3 --guidance 1")
    none = drawn("--n 2 --class none --guidance 1")
    for rule in (
        "apg --guidance 4",
        "rescale:share=1 --guidance 4",
        "clamp:low=-0.5",
        "threshold:quantile=0.5,bound=0.5",
        "threshold:model=(apg:parallel=0.2) --guidance 4",
        "'compose:terms=((label=3,2),(label=5,-1))'",
        "cfg --guidance 4 --guidance-interval 0.1:0.8",
    ):
        assert np.abs(drawn(f"--n 2 --class 3 --guidance-rule {rule}") - plain).max() > 1, rule
    composed = drawn("--n 2 --class none --guidance-rule 'compose:terms=((class=3,1))'")
    assert np.abs(composed - plain).max() <= 1
    assert np.abs(composed - none).max() > 1
    clamped = drawn("--n 2 --class none --solver ddim --guidance-rule clamp:high=-0.9")
    assert clamped.max() <= 0.05 * 255 + 1


def test_weak_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plain = drawn("--n 2 --class 3 --guidance 1")
    with_itself = drawn("--n 2 --class 3 --guidance 3 --guidance-rule autoguidance --weak digits")
    assert np.abs(with_itself - plain).max() <= 1
    weaker = Pipeline.load("digits")
    with torch.no_grad():
        for p in weaker.denoiser.parameters():
            p.mul_(0.97)
    weaker.save("weaker")
    line = "--class 3 --guidance-rule autoguidance --weak weaker"
    led = drawn(f"--n 1 {line} --guidance 2")
    facts = read_metadata("o.png")
    assert np.abs(led - plain[:1]).max() > 1
    assert facts["sampling"]["weak"]["name"] == "weaker"
    assert len(facts["sampling"]["weak"]["sha256"]) == 64
    assert facts["sampling"]["weak"]["sha256"] != facts["model"]["sha256"]
    cells = drawn(f"{line} --grid guidance=1,2,3")
    assert same(cells[:1], plain[:1])
    assert same(cells[1:2], led)
    rules = drawn("--class 3 --weak weaker --guidance 2 --grid guidance-rule=cfg|autoguidance")
    assert same(rules[1:], led)
    assert not same(rules[:1], led)
    assert read_metadata("o.png")["sampling"]["weak"]["name"] == "weaker"
    capsys.readouterr()
    assert main(shlex.split("sample digits --weak digits --out n.png --grid guidance=1,2")) == 64
    assert "the rule cfg uses no weaker model" in capsys.readouterr().err
    assert main(shlex.split("sample digits --weak nothing --guidance-rule autoguidance")) != 0
