"""Networks of published form: what they are told, that they start as nothing, and their laws."""

import pytest
import torch

from demist.conditions import Conditioner, FrozenText, Label, Numbers, Sizes, States, Text
from demist.errors import UsageError
from demist.networks import MMDiTNetwork, SDNetwork, UNet

SMALL = {
    "sd": {"channels": (8, 16), "cross": (1,), "head_dim": 8},
    "mmdit": {"width": 16, "depth": 2, "head_dim": 8, "side": 8},
}
KINDS = {"sd": SDNetwork, "mmdit": MMDiTNetwork, "unet": UNet}
WORDS = (
    '{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,'
    '"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,"model":'
    '{"type":"WordLevel","vocab":{"[PAD]":0,"[UNK]":1,"[ALL]":2,"red":3,"dot":4},'
    '"unk_token":"[UNK]"}}'
)
TEXT = Text(WORDS, 4, 32, 1, 0.2, "told")
ALL = {
    "label": Label(("a", "b"), 0.3),
    "text": TEXT,
    "size": Sizes((8, 8), drop=0.2, group="told"),
    "crop": Sizes((0, 0), crop=True, drop=0.2, group="told"),
    "angle": Numbers(("angle",), (0.0,), (1.0,)),
    "image": States(2, 12),
}
GIVEN = {
    "label": ["a", "b"], "text": ["red dot", "dot"], "size": [(9, 9), (50, 70)],
    "crop": [(0, 0), (3, 4)], "angle": [[0.1], [0.2]], "image": torch.ones(2, 2, 12),
}  # fmt: skip
TOLD = {"nothing": (), "text": ("text",), "class": ("label",), "xl": ("text", "size", "crop"),
        "classes and more": ("label", "angle"), "all": tuple(ALL)}  # fmt: skip


def made(kind, names, **more):
    torch.manual_seed(0)
    conditioner = Conditioner({name: ALL[name] for name in names})
    options = SMALL[kind] | {"in_channels": 3, "inlets": conditioner.specs()} | more
    net = KINDS[kind](**options)
    return net, conditioner, conditioner.encode(2, {name: GIVEN[name] for name in names})


def stirred(net):
    """The network after its zeros are gone."""
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return net.eval()


X, T = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([3.0, 700])


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("names", TOLD.values(), ids=TOLD)
def test_a_new_network_is_zero_and_a_stirred_one_hears_everything(kind, names):
    net, conditioner, cond = made(kind, names)
    assert torch.equal(net(X, T, **cond), torch.zeros(2, 3, 8, 8))
    y = stirred(net)(X, T, **cond)
    for key in cond:
        name = key.partition(".")[0]
        part = dict(cond) | conditioner.null({k: v for k, v in cond.items() if k.startswith(name)})
        assert not torch.allclose(net(X, T, **part), y, atol=1e-6), key
    assert not torch.allclose(net(X, T - 2, **cond), y, atol=1e-6)
    twin = type(net)(**net.config)
    twin.load_state_dict(net.state_dict())
    assert torch.equal(twin.eval()(X, T, **cond), y)


@pytest.mark.parametrize("kind", SMALL)
def test_a_sample_does_not_depend_on_its_batch(kind):
    net, _, cond = made(kind, tuple(ALL))
    y = stirred(net)(X, T, **cond)
    for i in range(2):
        alone = net(X[i : i + 1], T[i : i + 1], **{k: v[i : i + 1] for k, v in cond.items()})
        torch.testing.assert_close(alone, y[i : i + 1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", SMALL)
def test_gradients_reach_every_parameter(kind):
    net, _, cond = made(kind, tuple(ALL))
    stirred(net)(X, T, **cond).square().sum().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    # Questions of the words in the last block, which the published form has though nobody answers.
    last = "net.transformer_blocks.1.attn."
    asked = [
        last + name for name in ("add_q_proj.weight", "add_q_proj.bias", "norm_added_q.weight")
    ]
    assert sorted(idle) == (sorted(asked) if kind == "mmdit" else [])


@pytest.mark.parametrize("kind", [*SMALL, "unet"])
def test_what_is_always_hidden_is_the_unconditional_output_bit_for_bit(kind):
    names = ("label", "text", "size", "crop")
    options = {"unet": {"channels": (8, 16), "head_dim": 8}} | SMALL
    torch.manual_seed(0)
    conditioner = Conditioner({name: ALL[name] for name in names})
    net = stirred(KINDS[kind](**options[kind], in_channels=3, inlets=conditioner.specs()))
    cond = conditioner.encode(2, {name: GIVEN[name] for name in names})
    hidden = conditioner.drop(cond, lambda name: torch.zeros(2))
    assert torch.equal(net(X, T, **hidden), net(X, T, **conditioner.null(cond)))
    assert not torch.equal(net(X, T, **hidden), net(X, T, **cond))
    # One number hides what is of one group.
    some = conditioner.drop(cond, lambda name: torch.tensor([0.25, 0.15]))
    assert torch.equal(some["size"][0], cond["size"][0])
    assert torch.equal(some["text.tokens"][0], cond["text.tokens"][0])
    for key in ("size", "crop", "text.tokens"):
        assert torch.equal(some[key][1], conditioner.null(cond)[key][1])


@pytest.mark.parametrize("kind", SMALL)
def test_other_sizes_pass_and_those_that_cannot_are_said(kind):
    net, _, cond = made(kind, ("text",))
    assert stirred(net)(torch.randn(2, 3, 12, 16), T, **cond).shape == (2, 3, 12, 16)
    with pytest.raises(UsageError, match="cannot be"):
        net(torch.randn(2, 3, 9, 8), T, **cond)
    if kind == "mmdit":
        with pytest.raises(UsageError, match="sides above 16, twice those of training"):
            net(torch.randn(2, 3, 18, 8), T, **cond)


def test_words_alone_are_stable_diffusion_1_and_sizes_make_it_xl():
    one = made("sd", ("text",))[0].net.config
    assert (one["cross_attention_dim"], one["addition_embed_type"]) == (32, None)
    xl = made("sd", ("text", "size", "crop"))[0].net.config
    assert xl["addition_embed_type"] == "text_time"
    assert xl["projection_class_embeddings_input_dim"] == 32 + 4 * xl["addition_time_embed_dim"]
    assert made("sd", ("label",))[0].net.config["num_class_embeds"] == 3
    assert made("sd", ("label", "angle"))[0].net.config["class_embed_type"] == "identity"


@pytest.mark.parametrize("kind", SMALL)
def test_a_route_without_a_place_is_refused(kind):
    inlets = {"edges": {"route": "residual", "channels": 2}}
    with pytest.raises(
        UsageError, match=f"edges takes the route residual, which the network {kind}"
    ):
        KINDS[kind](**SMALL[kind], inlets=inlets)
    beside = {"low": {"route": "concat", "channels": 2}}
    net = stirred(KINDS[kind](**SMALL[kind], in_channels=3, inlets=beside))
    assert net(X, T, low=torch.ones(2, 2, 8, 8)).shape == X.shape


def test_a_weight_of_a_word_counts_and_padding_does_not():
    net, conditioner, _ = made("sd", ("text",))
    stirred(net)
    cond = conditioner.encode(2, {"text": ["red", "red"]})
    other = dict(cond)
    other["text.tokens"] = torch.where(cond["text.weights"] > 0, cond["text.tokens"], 4)
    torch.testing.assert_close(net(X, T, **cond), net(X, T, **other))
    loud = conditioner.encode(2, {"text": ["(red:1.5)", "(red:1.5)"]})
    assert not torch.allclose(net(X, T, **cond), net(X, T, **loud))


def test_the_forms_are_those_of_diffusers():
    diffusers = pytest.importorskip("diffusers")
    net, _, cond = made("sd", ("text", "size", "crop"))
    told = stirred(net).published(net.telling(cond, 2), cond)
    config = {k: v for k, v in net.net.config.items() if v is not None}
    theirs = diffusers.UNet2DConditionModel(**config).eval()
    theirs.load_state_dict(net.net.state_dict())
    added = {"text_embeds": told["pooled"], "time_ids": told["sizes"]}
    with torch.no_grad():
        y = theirs(
            X, T, told["states"], added_cond_kwargs=added,
            encoder_attention_mask=torch.isfinite(told["mask"]),
        ).sample  # fmt: skip
        assert (y - net(X, T, **cond)).abs().max() <= 1e-5 * y.abs().max()
        net, _, cond = made("mmdit", ("text", "label", "size"))
        told = stirred(net).telling(cond, 2)
        theirs = diffusers.SD3Transformer2DModel(**net.net.config).eval()
        theirs.load_state_dict(net.net.state_dict())
        states = told.states * told.weight[..., None]
        y = theirs(X, states, net.vector(told, X), T).sample
        assert (y - net(X, T, **cond)).abs().max() <= 1e-5 * y.abs().max()


def test_a_frozen_encoder_of_another_width_stands_beside_our_own():
    spec = FrozenText("folder", 4, 12).spec()
    net = stirred(SDNetwork(**SMALL["sd"], in_channels=3, inlets={"a": TEXT.spec(), "b": spec}))
    cond = {f"a.{k}": v for k, v in TEXT.encode(["red", "dot"], 2).items()}
    cond |= {"b.states": torch.randn(2, 4, 12), "b.weights": torch.ones(2, 4)}
    y = net(X, T, **cond, **{"b.pooled": torch.randn(2, 12)})
    assert y.shape == X.shape
    assert net.telling(cond | {"b.pooled": torch.randn(2, 12)}, 2).states.shape == (2, 8, 32)
