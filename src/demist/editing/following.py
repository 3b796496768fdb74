"""Lets what a network attends to while it makes one image follow what it did for another.

The attention of a source is never written down as maps. Queries and keys are kept instead, and the
result is computed by the same kernel from them and from the new values: where all is taken over
that is one call, so that an edit that changes nothing gives the source bit for bit.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demist.core import Denoiser
from demist.errors import UsageError
from demist.networks import Mix, controlled, probabilities

LARGEST = 1024
"""Positions up to which attention among pixels is taken over, as in the paper's code."""


@dataclass(frozen=True)
class Now:
    """What is taken over in a step.

    Attributes:
        words: What the words attract.
        pixels: What pixels attend to among themselves.
        features: What residual blocks of coarse levels give.
    """

    words: bool = False
    pixels: bool = False
    features: bool = False

    def __bool__(self) -> bool:
        return self.words or self.pixels or self.features


@dataclass
class Site:
    """What one attention, or one block, did for the source; a row for each sample."""

    q: Tensor | None = None
    k: Tensor | None = None
    bias: Tensor | None = None
    features: Tensor | None = None

    def keep(self, name: str, value: Tensor | None, samples: Tensor, n: int) -> None:
        """Put rows in their places."""
        if value is None:
            return
        if getattr(self, name) is None:
            setattr(self, name, value.new_zeros(n, *value.shape[1:]))
        getattr(self, name)[samples] = value


@dataclass
class Follower:
    """Keeps what a network does for a source, and lets it do the same for its double.

    Attributes:
        n: Samples of the batch.
        own: The encoded prompts of source and target: only rows with these follow, so that what
            guidance leads away from does not.
        mapper: `(n, L, M)`; see `Correspondence`.
        weights: `(n, M)`.
        gone: `(n, L)`.
        come: `(n, M)`.
        watched: Whether the places of changed words are summed up in `seen`.
    """

    n: int
    own: tuple[Mapping[str, Tensor], Mapping[str, Tensor]]
    mapper: Tensor
    weights: Tensor
    gone: Tensor
    come: Tensor
    watched: bool = False
    seen: dict[tuple[bool, int], Tensor] = field(default_factory=dict)
    alike: Tensor = field(init=False)
    _now: Now = field(default_factory=Now)
    _double: bool = False
    _kept: list[list[Site]] = field(default_factory=list)
    _rows: Tensor | None = None
    _samples: Tensor | None = None
    _part: tuple[Tensor, Tensor] | None = None
    _begin: int = 0
    _site: int = 0
    _call: int = -1

    def __post_init__(self) -> None:
        """See which prompts are equal."""
        changed = self.gone.sum(1) + self.come.sum(1)
        self.alike = (changed == 0) & torch.tensor([_is_eye(each) for each in self.mapper])

    @contextmanager
    def source(self, now: Now) -> Iterator[None]:
        """While the source takes a step: it is kept."""
        self._kept = []
        with self._taking(now, double=False):
            yield

    @contextmanager
    def target(self, now: Now) -> Iterator[None]:
        """While the target takes the same step: it follows."""
        with self._taking(now, double=True):
            yield

    @contextmanager
    def _taking(self, now: Now, double: bool) -> Iterator[None]:
        self._now, self._double, self._call = now, double, -1
        if not now and not self.watched:
            yield
            return
        try:
            with controlled(self._attend):
                yield
        finally:
            self._now = Now()

    @contextmanager
    def hooked(self, denoiser: Denoiser) -> Iterator[None]:
        """While it may be called: it is seen which rows of a batch are whose."""
        net = denoiser.net
        hooks = [
            denoiser.register_forward_pre_hook(self._called, with_kwargs=True),
            net.register_forward_pre_hook(self._entered),
            net.register_forward_hook(self._left),
            *(block.register_forward_hook(self._block) for block in shaping(net)),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _called(self, _: nn.Module, given: tuple[Any, ...], cond: dict[str, Any]) -> None:
        """Find the rows with the prompts of source or target."""
        rows = len(given[0])
        samples = torch.arange(rows) % self.n
        alike = torch.full((rows,), rows % self.n == 0)
        for key, value in self.own[self._double].items():
            if rows % self.n or key not in cond:
                break
            same = cond[key] == value.to(cond[key].device)[samples.to(value.device)].to(cond[key])
            alike = alike & same.flatten(1).all(1).cpu()
        self._rows, self._samples = alike.nonzero().flatten(), samples[alike]
        self._begin = 0
        self._call += int(len(self._rows) > 0)
        if not self._double and len(self._rows):
            self._kept.append([])

    def _entered(self, _: nn.Module, given: tuple[Any, ...]) -> None:
        """The network is given some of the rows."""
        if self._rows is None or self._samples is None:
            return
        size = len(given[0])
        inside = (self._rows >= self._begin) & (self._rows < self._begin + size)
        self._part = (self._rows[inside] - self._begin, self._samples[inside])
        self._begin, self._site = self._begin + size, 0

    def _left(self, *_: object) -> None:
        self._part = None

    def _next(self) -> Site | None:
        """The site that is reached, of the source; None: it was never there."""
        if self._part is None or not len(self._part[0]) or self._call >= len(self._kept):
            return None
        sites, self._site = self._kept[self._call], self._site + 1
        if self._site > len(sites):
            if self._double:
                return None
            sites.append(Site())
        return sites[self._site - 1]

    def _block(self, _: nn.Module, given: object, made: Tensor) -> Tensor | None:
        """A residual block has made something."""
        if not self._now.features or (site := self._next()) is None:
            return None
        assert self._part is not None
        rows, samples = (index.to(made.device) for index in self._part)
        if not self._double:
            site.keep("features", made[rows], samples, self.n)
            return None
        assert site.features is not None
        made = made.clone()
        made[rows] = site.features[samples]
        return made

    def _attend(
        self, mix: Mix, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, words: int | None
    ) -> Tensor:
        """See `demist.networks.Control`."""
        out = mix(q, k, v, bias)
        if words is None or (site := self._next()) is None:
            return out
        assert self._part is not None
        rows, samples = (index.to(q.device) for index in self._part)
        pixels = k.shape[2] - words
        asking = pixels or q.shape[2]
        if self.watched and words:
            self._watch(q[rows, :, :asking], k[rows], None if bias is None else bias[rows], words)
        if not self._double:
            site.keep("q", q[rows], samples, self.n)
            site.keep("k", k[rows], samples, self.n)
            site.keep("bias", None if bias is None else bias[rows], samples, self.n)
            return out
        takes_pixels = self._now.pixels and pixels <= LARGEST
        if not (self._now.words and words) and not (takes_pixels and pixels):
            return out
        assert site.q is not None
        assert site.k is not None
        taken, left = self._split(v[rows], samples, words, takes_pixels)
        kept = None if site.bias is None else site.bias[samples]
        made = mix(site.q[samples], site.k[samples], taken, kept)
        if left is not None:
            made = made + mix(q[rows], k[rows], left, None if bias is None else bias[rows])
        out = out.clone()
        out[rows, :, :asking] = made[:, :, :asking]
        return out

    def _split(
        self, v: Tensor, samples: Tensor, words: int, takes_pixels: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The values that the source's attention mixes, and those that the target's own does."""
        if not words:
            return v, None
        if words != self.mapper.shape[2]:
            raise UsageError(
                f"pixels attend to {words} tokens and the prompt has {self.mapper.shape[2]}: other "
                f"conditions have tokens, too, and such models are not edited by their prompt"
            )
        pixels = v.shape[2] - words
        v_pixels, v_words = v[:, :, :pixels], v[:, :, pixels:]
        mapper, weights, alike = (x.to(v)[samples] for x in (self.mapper, self.weights, self.alike))
        # Where prompts are equal it makes no difference, and all at once is exact.
        by_words = torch.ones_like(alike) if self._now.words else alike
        by_pixels = torch.ones_like(alike) if takes_pixels else alike
        share = (by_words[:, None] * (mapper.sum(1) > 0))[:, None, :, None]
        by_pixels = by_pixels[:, None, None, None]
        if self._now.words:
            v_words = v_words * weights[:, None, :, None]
        moved = mapper[:, None] @ (v_words * share)
        taken = torch.cat([v_pixels * by_pixels, moved], 2)
        if (share == 1).all() and (not pixels or (by_pixels == 1).all()):
            return taken, None
        return taken, torch.cat([v_pixels * (1 - by_pixels), v_words * (1 - share)], 2)

    def _watch(self, q: Tensor, k: Tensor, bias: Tensor | None, words: int) -> None:
        """Sum up how much each pixel attends to the words that are changed."""
        assert self._part is not None
        samples = self._part[1].to(q.device)
        changed = (self.come if self._double else self.gone).to(q)[samples]
        maps = probabilities(q, k, bias)[..., k.shape[2] - words :]
        found = (maps.mean(1) * changed[:, None]).sum(2)
        key = (self._double, found.shape[1])
        before = self.seen.get(key, found.new_zeros(self.n, found.shape[1]))
        self.seen[key] = before.index_add(0, samples, found)

    def places(self, sides: tuple[int, int], least: float) -> Tensor:
        """Where the changed words are, `(n, 1, h, w)`: 1 there, 0 elsewhere.

        Args:
            sides: h and w, of the states.
            least: From this share of its largest value on a place counts.
        """
        height, width = sides
        where = torch.zeros(self.n, 1, height, width)
        for double in (False, True):
            total = torch.zeros(self.n, 1, height, width)
            for (of, count), found in self.seen.items():
                if of != double:
                    continue
                rows = round((count * height / width) ** 0.5)
                grid = found.float().cpu().reshape(self.n, 1, rows, -1)
                total += F.interpolate(grid, sides, mode="bilinear", align_corners=False)
            most = total.amax((2, 3), keepdim=True)
            where = torch.maximum(where, ((total >= least * most) & (most > 0)).float())
        return where


def shaping(net: nn.Module) -> list[nn.Module]:
    """The residual blocks of the coarser half of the way up of a U-Net; others have none.

    Plug-and-play takes over the features there: they hold where things are, and not how they look.
    """
    found = [m for name, m in net.named_modules() if name.rpartition(".")[2] == "up_blocks"]
    levels = list(found[0].children()) if found else []
    return [
        block
        for level in levels[: (len(levels) + 1) // 2]
        for name, block in level.named_modules()
        if name.startswith("resnets.") and name.count(".") == 1
    ]


def _is_eye(x: Tensor) -> bool:
    return x.shape[0] == x.shape[1] and torch.equal(x, torch.eye(len(x)))
