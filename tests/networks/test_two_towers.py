"""Two text towers that read one prompt, as SDXL has them."""

import pytest
import torch

from demist.conditions import ClipText, Conditioner, Sizes
from demist.conditions.clip_words import learn_pairs
from demist.networks import DiT, MMDiTNetwork, SDNetwork, TwoTowers, UNet

PAIRS = learn_pairs(["a red dot", "a blue line"], 600)
TEXT = ClipText(PAIRS, 8, 32, 1, 0.2, "told", tower="clip+own")
CONDITIONS = Conditioner({"text": TEXT, "size": Sizes((8, 8), drop=0.2, group="told")})
GIVEN = {"text": ["a red dot", "a blue line"], "size": [(9, 9), (50, 70)]}
COND = CONDITIONS.encode(2, GIVEN)
X, T = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([3.0, 700])


def stirred(net):
    torch.manual_seed(0)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return net.eval()


def sd():
    return stirred(
        SDNetwork(
            channels=(8, 16), cross=(1,), head_dim=8, in_channels=3, inlets=CONDITIONS.specs()
        )
    )


def test_states_stand_side_by_side_and_the_vector_is_that_of_the_second():
    towers = stirred(TwoTowers(300, 5, 32, 2))
    tokens = torch.tensor([[4, 5, 298, 299, 299], [7, 299, 299, 299, 299]])
    weights = torch.ones(2, 5)
    states, vector = towers.read(tokens, weights)
    first, _ = towers.first(tokens)
    second = towers.second(tokens, weights)
    assert torch.equal(states, torch.cat([first, second], 2))
    assert torch.equal(vector, second[:, 0])
    assert not torch.allclose(first, second)


def test_the_second_tower_reads_on_where_the_first_looks_back_alone():
    towers = stirred(TwoTowers(300, 3, 32, 1))
    tokens, weights = torch.tensor([[4, 5, 299], [4, 6, 299]]), torch.ones(2, 3)
    states, vector = towers.read(tokens, weights)
    assert torch.equal(states[0, 0, :32], states[1, 0, :32])
    assert not torch.allclose(states[0, 0, 32:], states[1, 0, 32:])
    assert not torch.allclose(vector[0], vector[1])


def test_the_form_is_that_of_xl_with_both_widths():
    form = sd().net.config
    assert form["cross_attention_dim"] == 64
    assert form["projection_class_embeddings_input_dim"] == 32 + 2 * form["addition_time_embed_dim"]


def test_the_published_form_computes_the_same_in_diffusers():
    diffusers = pytest.importorskip("diffusers")
    net = sd()
    told = net.published(net.telling(COND, 2), COND)
    towers = net.telling.parts["text"].reader
    both, vector = towers.read(COND["text.tokens"], COND["text.weights"])
    config = {k: v for k, v in net.net.config.items() if v is not None}
    theirs = diffusers.UNet2DConditionModel(**config).eval()
    theirs.load_state_dict(net.net.state_dict())
    added = {"text_embeds": vector, "time_ids": COND["size"]}
    with torch.no_grad():
        y = theirs(X, T, both, added_cond_kwargs=added).sample
        assert (y - net(X, T, **COND)).abs().max() <= 1e-5 * y.abs().max()
    assert torch.isfinite(told["mask"]).all()  # padding is attended to, as in CLIP


@pytest.mark.parametrize(
    "net",
    [
        UNet(channels=(8, 16), head_dim=8, norm_groups=2, in_channels=3, inlets=CONDITIONS.specs()),
        DiT(width=16, depth=2, head_dim=8, in_channels=3, inlets=CONDITIONS.specs()),
        MMDiTNetwork(
            width=16, depth=2, head_dim=8, side=8, in_channels=3, inlets=CONDITIONS.specs()
        ),
        sd(),
    ],
    ids=["unet", "dit", "mmdit", "sd"],
)
def test_every_network_hears_both_towers_and_teaches_them(net):
    stirred(net).train()
    net(X, T, **COND).square().sum().backward()
    towers = [m for m in net.modules() if isinstance(m, TwoTowers)]
    assert len(towers) == 1
    for tower in (towers[0].first, towers[0].second):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in tower.parameters())


def test_both_are_dropped_together_with_the_sizes():
    """Hidden, both towers read the empty prompt: the unconditional output, bit for bit."""
    net = sd()
    hidden = CONDITIONS.drop(COND, lambda name: torch.zeros(2))
    nothing = CONDITIONS.null(COND)
    assert hidden.keys() == nothing.keys()
    assert all(torch.equal(hidden[k], nothing[k]) for k in hidden)
    assert torch.equal(net(X, T, **hidden), net(X, T, **nothing))
    kept = CONDITIONS.drop(COND, lambda name: torch.ones(2))
    assert all(torch.equal(kept[k], COND[k]) for k in kept)
