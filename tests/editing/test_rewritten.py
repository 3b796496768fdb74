"""Laws of prompt-to-prompt, and what each share takes over."""

import importlib

import numpy as np
import pytest
import torch
from small import NETS, TEXT, end, images, small

from demist.editing import (
    Follower,
    Following,
    Now,
    between,
    correspondence,
    inverted,
    recoloured,
    restyle,
    rewritten,
    sampled,
    swap,
)
from demist.errors import UsageError
from demist.networks import probabilities

A = ["a red three", "a big blue seven on the left"]
B = ["a green three", "a big red blue seven on the left"]
ALL = Following(1, 1, 1)


@pytest.fixture(scope="module", params=list(NETS))
def model(request):
    return small(request.param)


def plan(model, prompts, **how):
    return model.plan(2, text=list(prompts), seed=4, **how)


def edit(model, following, old=A, new=B, weights=None, **how):
    pairs = list(zip(old, new, strict=True))
    return rewritten(plan(model, old, **how), plan(model, new, **how), pairs, following, weights)


SOLVERS = ["adams", pytest.param("heun", marks=pytest.mark.slow), "ddim:eta=1"]


@pytest.mark.parametrize("solver", SOLVERS)
def test_equal_prompts_give_the_source_bit_for_bit(model, solver):
    source = end(plan(model, A, solver=solver))
    looks = Following(0.8, 0.4, blend=0.4, looks=0)
    for following in (ALL, Following(), Following(0.6, 0.3, 0.5, blend=0.4), looks):
        assert torch.equal(end(edit(model, following, new=A, solver=solver)), source)
    weights = {"a": 1.0}
    assert torch.equal(end(edit(model, ALL, new=A, weights=weights, solver=solver)), source)


def test_nothing_followed_is_the_other_prompt_bit_for_bit(model):
    assert torch.equal(end(edit(model, Following(0, 0, 0))), end(plan(model, B)))


def test_each_share_changes_something_and_the_source_is_kept(model):
    source, other = end(plan(model, A)), end(plan(model, B))
    found = [other]
    for following in (Following(1, 0), Following(0, 1), Following(0.3, 0)):
        both = edit(model, following)
        *_, point = both.states()
        assert torch.equal(point.memory.source.x, source)
        assert all((point.x - x).abs().max() > 1e-5 for x in found)
        found.append(point.x)
    heavy = end(edit(model, Following(1, 0), new=A, weights={"a": 3.0}))
    assert (heavy - source).abs().max() > 1e-5


def test_each_sample_is_edited_by_itself_and_an_edit_goes_on(model):
    whole = edit(model, Following(0.8, 0.4, blend=0.3, looks=0))
    points = list(whole.states())
    *_, alone = whole.states([1])
    assert torch.equal(alone.x, points[-1].x[1:])
    *_, resumed = whole.states(after=points[2])
    assert torch.equal(resumed.x, points[-1].x)


@pytest.mark.slow
def test_at_once_changes_nothing():
    model = small()
    want = end(edit(model, ALL))
    model.denoiser.at_once = 1
    torch.testing.assert_close(end(edit(model, ALL)), want, atol=1e-5, rtol=1e-5)


def test_words_take_over_what_the_maps_say():
    """By the maps of source and target, written out: replaced, refined and weighed."""

    torch.manual_seed(0)
    found = correspondence(TEXT.readings(A[1]), TEXT.readings(B[1]), {"blue": 2.0})
    one = [getattr(found, k)[None] for k in ("mapper", "weights", "gone", "come")]
    follower = Follower(1, ({}, {}), *one)
    follower._rows = follower._samples = torch.tensor([0])
    mix = torch.nn.functional.scaled_dot_product_attention

    def asked(q, k, v, double):
        follower._double, follower._call, follower._now = double, 0, Now(words=True)
        follower._entered(torch.nn.Identity(), (q,))
        return follower._attend(mix, q, k, v, None, k.shape[2])

    (q_s, k_s, v_s), (q, k, v) = ([torch.randn(1, 2, n, 8) for n in (16, 10, 10)] for _ in range(2))
    follower._kept, follower._begin = [[]], 0
    asked(q_s, k_s, v_s, False)
    follower._begin = 0
    got = asked(q, k, v, True)
    old, own = probabilities(q_s, k_s, None), probabilities(q, k, None)
    new = found.mapper.sum(0) == 0
    assert new.nonzero().flatten().tolist() == [3]
    maps = torch.where(new, own, old @ found.mapper) * found.weights
    torch.testing.assert_close(got, maps @ v)


def test_outside_of_the_changed_words_the_source_stays():
    model = small()
    made = sampled(edit(model, Following(0.8, 0.4, blend=0.9)))
    assert made.places.shape == (2, 8, 8)
    assert 0 < made.places.mean() < 1
    outside = np.broadcast_to((made.places == 0)[:, None], made.images.shape)
    assert np.array_equal(made.images[outside], made.source[outside])
    assert not np.array_equal(made.images, made.source)


@pytest.mark.parametrize("blend", [0.0, 0.5])
def test_a_change_of_looks_is_one_function_of_the_source_in_the_end(blend):
    model = small()
    plain, made = (
        list(edit(model, Following(blend=blend, looks=looks)).states()) for looks in (1, 0)
    )
    for a, b in zip(plain[:-1], made[:-1], strict=True):
        assert torch.equal(a.x, b.x)
    both = made[-1].memory
    assert both.looks.tolist() == [True, True]
    assert plain[-1].memory.looks is None
    source, changes = both.source.x, [end[-1].x - both.source.x for end in (plain, made)]
    inside = torch.ones_like(source) if both.places is None else both.places.expand_as(source)
    assert torch.equal(made[-1].x[inside == 0], source[inside == 0])
    shares = [recoloured(source, change, both.places)[1] for change in changes]
    assert (shares[0] < 0.9).all()
    want = recoloured(source, changes[0], both.places)[0]
    torch.testing.assert_close(changes[1], want * inside, atol=1e-5, rtol=0)
    again = recoloured(source, changes[1], both.places)[0]
    torch.testing.assert_close(again * inside, changes[1], atol=1e-3, rtol=0)
    high = edit(model, Following(blend=blend, looks=0.999))
    *_, last = high.states()
    assert last.memory.looks.tolist() == [False, False]
    assert torch.equal(last.x, plain[-1].x), "below the share all is as it was"


@pytest.mark.parametrize("how", ["friendly", "direct", "ddim", "null-text"])
def test_given_images_are_swapped(how):
    model, x = small(), images()
    made = swap(
        model, "a red three", "red->green", images=x, inversion=how, steps=3, seed=2,
        following=Following(0.8, 0.4, blend=0.5), keep=True,
    )  # fmt: skip
    assert made.said[0] == "the prompt 'a red three' becomes 'a green three'"
    assert np.array_equal(made.source, x)
    outside = np.broadcast_to(~made.places[:, None], x.shape)
    assert np.array_equal(made.images[outside], x[outside])
    if how == "friendly":
        same = swap(model, "a red three", images=x, steps=3, seed=2)
        assert np.array_equal(same.images, x)


def test_several_prompts_are_swapped_in_one_call():
    model, x = small(), images(2)
    old, changes = ["a red three", "a red seven"], ["three->five", "red->green"]
    both = swap(model, old, changes, images=x, steps=3, seed=(2, 7))
    for i, seed in enumerate((2, 7)):
        alone = swap(model, old[i], changes[i], images=x[i], steps=3, seed=(seed,))
        assert np.array_equal(both.images[i], alone.images[0])
    assert both.said[1] == "the prompt 'a red seven' becomes 'a green seven'"
    looks = swap(model, old, changes, steps=2, seed=1, following=Following(looks=0))
    assert looks.said[2] == "in 2 of 2 only colours change, and no edges"
    drawn = swap(model, ["a red three", "a seven"], to=["a blue three", "a five"], steps=2, seed=1)
    assert len(drawn.images) == 2
    with pytest.raises(UsageError, match="2 prompts and 3 changes"):
        swap(model, old, changes + changes[:1])


def test_shares_count_steps_that_no_shift_moves(monkeypatch):
    model = small()

    def made():
        drawn = swap(model, "a red three", "red->green", steps=6, seed=2, n=1).images
        given = swap(
            model, "a red three", "red->green", images=images(1), inversion="ddim", steps=6
        )
        film = between(model, *images(2), frames=2, steps=6)
        return drawn, given.images, film, model.sample(1, text="a red three", steps=6, seed=2)

    *edits, plain = made()
    rule = importlib.import_module("demist.samplers.usual")
    monkeypatch.setattr(rule, "LARGE", 4)  # as if these images were large
    *again, shifted = made()
    assert all(map(np.array_equal, edits, again))
    assert not np.array_equal(plain, shifted)


def test_restyle_holds_the_features_of_the_source():
    model = small()
    alone = model.sample(1, text="a blue five", seed=1)
    made = restyle(model, "a blue five", caption="a red three", n=1, seed=1)
    assert np.array_equal(made.source, model.sample(1, text="a red three", seed=1))
    off = [np.abs(made.source.astype(int) - x).mean() for x in (made.images, alone)]
    assert off[0] < off[1]


def test_an_inverted_source_comes_back():
    model, x = small(), images()
    start = inverted(plan(model, A, solver="ddim:eta=1"), x)
    *_, point = rewritten(start, start, list(zip(A, A, strict=True)), ALL).states()
    assert torch.equal(point.x, point.memory.source.x)
    assert (point.x - model.encode(x)).abs().max() <= 1e-5


def test_what_cannot_be_edited_is_told():
    model = small()
    with pytest.raises(UsageError, match=r"words = 2: a share"):
        Following(2)
    with pytest.raises(UsageError, match=r"looks = -1: a share"):
        Following(looks=-1)
    with pytest.raises(UsageError, match="give a blend"):
        swap(model, "a red three", "red->blue", following=ALL, keep=True)
    with pytest.raises(UsageError, match="one for each"):
        rewritten(plan(model, A), plan(model, B), [("a", "a")] * 3)
    with pytest.raises(UsageError, match="the samples, the solver"):
        rewritten(plan(model, A), plan(model, B, steps=5), [("a", "a")])
    with pytest.raises(UsageError, match="use noise = 'seeded'"):
        edit(model, ALL, noise="torch", solver="ddim:eta=1")


def test_words_are_swapped_by_the_command(tmp_path, capsys):
    from PIL import Image

    from demist.cli import main

    model, x = small(), images(1)
    model.save(tmp_path / "model")
    Image.fromarray(x[0].transpose(1, 2, 0)).save(tmp_path / "a.png")
    command = ["edit", str(tmp_path / "model"), str(tmp_path / "a.png"), "--seed", "2"]
    out = tmp_path / "b.png"
    said = [*command, "--prompt", "a red three", "--swap", "red->green", "--out", str(out)]
    assert main(said) in (0, None), capsys.readouterr().err
    got = np.asarray(Image.open(out)).transpose(2, 0, 1)
    want = swap(model, "a red three", "red->green", images=x, seed=(2,))
    assert np.array_equal(got, want.images[0])
    for wrong, why in (("blue->green", "does not have 'blue'"), ("red", "write what is there")):
        assert main([*said[:-4], "--swap", wrong, "--out", str(tmp_path / "c.png")])
        assert why in capsys.readouterr().err
