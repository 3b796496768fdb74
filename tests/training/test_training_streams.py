import numpy as np
import pytest
import torch

from demist.training.streams import Streams, permutation


def test_an_epoch_visits_everything_once_across_step_borders():
    streams = Streams(seed=3, n=10, batch_size=4)
    seen = np.concatenate([streams.indices(step) for step in range(10)])
    for epoch in range(4):
        assert sorted(seen[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert not np.array_equal(seen[:10], seen[10:20])
    assert np.array_equal(seen[:10], permutation(3, 0, 10))


def test_a_batch_may_be_larger_than_the_data():
    index = Streams(seed=0, n=3, batch_size=8).indices(1)
    assert len(index) == 8
    assert sorted(index[1:4]) == [0, 1, 2]


def test_pure_functions_of_the_step():
    streams, again = Streams(0, 100, 8), Streams(0, 100, 8)
    like = torch.empty(8, 3)
    draws = [lambda s: s.uniforms("a", 5), lambda s: s.stratified("a", 5)]
    draws += [lambda s: s.noise(5)(like), lambda s: torch.tensor(s.torch_seed(5))]
    for draw in draws:
        first = draw(streams)
        streams.indices(9), streams.noise(4)(like), torch.rand(3)
        assert torch.equal(draw(streams), first)
        assert torch.equal(draw(again), first)
        assert not torch.equal(draw(Streams(2**32, 100, 8)), first)
    assert not torch.equal(streams.uniforms("a", 5), streams.uniforms("b", 5))
    assert not torch.equal(streams.uniforms("a", 5), streams.uniforms("a", 6))
    assert not torch.equal(streams.noise(5)(like), streams.noise(6)(like))


def test_shares_make_up_the_global_batch():
    whole = Streams(0, 50, 6)
    shares = [Streams(0, 50, 6, rank, 3) for rank in range(3)]
    assert np.array_equal(whole.indices(7), np.concatenate([s.indices(7) for s in shares]))
    for draw in ("uniforms", "stratified"):
        parts = [getattr(s, draw)("time", 7) for s in shares]
        assert torch.equal(getattr(whole, draw)("time", 7), torch.cat(parts))
    noise = [s.noise(7)(torch.empty(2, 4)) for s in shares]
    assert torch.equal(whole.noise(7)(torch.empty(6, 4)), torch.cat(noise))
    with pytest.raises(ValueError, match="multiple of 4"):
        Streams(0, 50, 6, 0, 4)


def test_distributions():
    streams = Streams(1, 10, 4000)
    u = streams.uniforms("x", 0)
    assert u.dtype == torch.float64
    assert 0 < float(u.min()) < 1e-2 < 0.99 < float(u.max()) < 1
    assert float(u.mean()) == pytest.approx(0.5, abs=0.02)
    s = streams.stratified("x", 0)
    assert torch.equal((s * 4000).floor(), torch.arange(4000, dtype=torch.float64))
    z = streams.noise(0)(torch.empty(4000, 10))
    assert float(z.mean()) == pytest.approx(0, abs=0.02)
    assert float(z.var()) == pytest.approx(1, abs=0.03)
