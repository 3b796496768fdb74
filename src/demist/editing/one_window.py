"""One window of sounds: what is there is told or put back, and joined to the rest without a click.

See `demist.editing.lasting`, which sets windows one after another.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from demist.codecs import Codec, LogMel
from demist.core import Model
from demist.editing.known import ALWAYS, Known
from demist.guidance import Between, Held
from demist.model.plan import Plan, Walk
from demist.samplers import TrajectoryPoint, trajectory

REACH = 2
"""States before and after a place that see it, where a codec does not say."""
SEEN = 0.6
"""Share of a spectrum's energy that lies in what is kept, from which on it is told."""
FADE = 0.005
"""Seconds in which a difference at a joint dies away."""


@dataclass(frozen=True, eq=False)
class Window:
    """One window of sounds being made: a plan, and what is there already.

    Attributes:
        plan: Of `n` samples.
        clean: States of what is there, `(n, *state)`.
        anew: `(T,)`, 1 where states are to be made.
        told: Whether the network is told; else what is there is put back after each step.
        other: The plan of what is asked for in the end.
        share: How much of that is asked for here.
    """

    plan: Plan
    clean: Tensor
    anew: Float[Tensor, "t"]
    told: bool
    other: Plan | None = None
    share: float = 0.0

    def walk(self, rows: Sequence[int]) -> Walk:
        """The steps of some rows, with all that is there."""
        device, index = self.clean.device, list(rows)
        clean, free = self.clean[index], ALWAYS * self.anew.double()
        if self.told or bool((self.anew == 1).all()):
            steps: Walk = trajectory
        else:
            shape = (len(self.clean), 1, *self.clean.shape[2:])
            steps = Known(self.plan, self.clean, free.expand(shape)).walk(index)
        held = self.told and bool((self.anew == 0).any())

        def walk(model: Model, *args: Any, **kwargs: Any) -> Iterator[TrajectoryPoint]:
            if self.other is not None:
                cond = self.other.told(index, device)
                model = Between(model, self.other.model, cond, self.share)
            if held:
                model = Held(model, clean, self.anew, told=True)
            yield from steps(model, *args, **kwargs)

        return walk

    def states(self, look: Callable[[Tensor], None] | None) -> Tensor:
        """What comes out; `look` is shown the states of the first batch after each step."""
        plan, found = replace(self.plan, walk=self.walk), list[Tensor]()
        for batch in plan.batches():
            for point in plan.states(batch):
                if look is not None and not found and point.index < plan.steps:
                    look(point.x)
            found.append(point.x)
        return torch.cat(found)


def told_of(keep: Bool[Tensor, "l"], codec: Codec, count: int) -> Bool[Tensor, "t"]:
    """Which of `count` states are told from the samples that are kept; beyond the ends all are.

    Of spectra those that see `SEEN` of their energy there, the rest being `mirrored`; of other
    states those that see nothing else.
    """
    hop = len(keep) // count
    if isinstance(codec, LogMel):  # a spectrum lies around the first sample of its hop
        before, after, least = codec.window // 2, codec.window - codec.window // 2, SEEN
        weights = torch.hann_window(codec.window, dtype=torch.float64).square()
    else:
        before, after, least = REACH * hop, (REACH + 1) * hop, 1 - 1e-9
        weights = torch.ones(before + after, dtype=torch.float64)
    seen = torch.nn.functional.pad(keep, (before, after), value=True).double()
    return seen.unfold(0, before + after, hop)[:count] @ (weights / weights.sum()) >= least


def mirrored(x: Tensor, keep: Bool[Tensor, "l"], most: int) -> Tensor:
    """Sounds `(n, 1, L)` in which what is not kept is what lies before or after it, turned round.

    So spectra at a joint are about as loud as those beside it. In a gap the one goes over into the
    other; `most` samples from a joint, and where nothing is kept, there is silence.
    """
    x = torch.where(keep, x, 0.0)
    out = x.clone()
    ends = torch.nn.functional.pad((~keep).int(), (1, 1)).diff().nonzero().flatten().tolist()
    for first, last in zip(ends[::2], ends[1::2], strict=True):
        size = min(most, last - first)
        before, after = x[..., max(0, first - size) : first], x[..., last : last + size]
        gap = x.new_zeros(2, *x.shape[:-1], last - first)
        gap[0, ..., : before.shape[-1]] = before.flip(-1)
        gap[1, ..., last - first - after.shape[-1] :] = after.flip(-1)
        share = torch.linspace(1, 0, last - first + 2)[1:-1].to(x)
        if first == 0 or last == len(keep):
            share = torch.full_like(share, float(first > 0))
        out[..., first:last] = share * gap[0] + (1 - share) * gap[1]
    return out


def joined(made: Tensor, x: Tensor, keep: Bool[Tensor, "l"], fade: int) -> Tensor:
    """Sounds `(n, 1, L)` as made, and as they were where they are kept, without a click.

    What differs at a joint is taken from what was made, and dies away within `fade` samples.
    """
    out, length = torch.where(keep, x, made), len(keep)
    for i in (keep[1:] != keep[:-1]).nonzero().flatten().tolist():
        last, sign = (i, 1) if keep[i] else (i + 1, -1)
        there = [last + sign * k for k in range(1, fade + 1)]
        inside = [k for k in there if 0 <= k < length]
        free = [k for j, k in enumerate(inside) if not keep[inside[: j + 1]].any()]
        # In a gap shorter than that it ends at the other joint.
        steps = min(fade, len(free) + 1)
        ramp = torch.linspace(1, 0, steps + 1)[1:][: len(free)].to(made)
        off = x[..., last] - made[..., last]
        out[..., free] = out[..., free] + off[..., None] * ramp
    return out.clamp(-1, 1)
