"""An autoencoder and what is trained along with it: a codebook that moves, a critic."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from demist.codecs import Codec, Pixels
from demist.config import LatentsConfig, TrainConfig
from demist.data import Dataset
from demist.errors import UsageError
from demist.networks.moving_codebook import MovingCodebook
from demist.networks.published.vq_model import VQModel
from demist.training.batches import Batch
from demist.training.joint import Joint, report
from demist.training.parallel import World
from demist.training.streams import Streams, generator
from demist.training.terms import TERMS, Rebuilt, Setting, Term

LATENTS = 8
"""Latents for each code among which the codebook begins."""


class Rebuilding(Joint):
    """An autoencoder with the terms of its loss.

    Args:
        autoencoder: What is kept.
        terms: Of the loss; those that ask for likeness come first.
        codebook: What moves its codes, if it has any.
    """

    autoencoder: Any
    terms: Any
    codebook: MovingCodebook | None

    def __init__(
        self, autoencoder: nn.Module, terms: Sequence[Term], codebook: MovingCodebook | None = None
    ):
        super().__init__()
        self.autoencoder, self.codebook = autoencoder, codebook
        self.terms = nn.ModuleDict({term.name: term for term in terms})
        self.logged = tuple(name for term in terms for name in term.logged)
        self.values = nn.Parameter(torch.zeros(len(self.logged)))
        self.reported = (
            "values",
            *(["codebook.reports"] if codebook is not None else []),
            *(f"terms.{term.name}.{name}" for term in terms for name in term.reported),
        )
        self.rates = {
            f"terms.{term.name}.{start}": rate
            for term in terms
            for start, rate in term.rates.items()
        }
        self._last = (last_layer(autoencoder),)  # no parameter of its own
        self._progress = 0.0
        self._log = defaultdict[str, list[Tensor | float]](list)

    @property
    def kept(self) -> nn.Module:
        """The autoencoder."""
        net: nn.Module = self.autoencoder
        return net

    @property
    def facts(self) -> dict[str, str]:
        """What a saved codec says of how it was trained, as JSON values."""
        return {k: v for term in self.terms.values() for k, v in term.facts.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said before the first step."""
        told = [note for term in self.terms.values() for note in term.notes]
        if self.codebook is not None:
            told.insert(
                0,
                f"codebook: {len(self.codebook.codes)} codes, put among the latents that "
                f"the encoder gives at first",
            )
        return tuple(told)

    def require(self) -> None:
        """Raise UsageError if there are more codes than latents of all data."""
        if self.codebook is not None and (count := len(self.codebook.codes)) > self.codebook.seen:
            raise UsageError(
                f"codebook = {count}: the data has {self.codebook.seen:,} latents, fewer than "
                f"codes; use a smaller --codebook, a smaller --downsample, or more images"
            )

    def objective(self, shape: tuple[int, ...], batch: int) -> "Together":
        """What is minimised.

        Args:
            shape: Of the latents of an image.
            batch: Images of a step, of all processes.
        """
        if self.codebook is None:
            return Together(shape)
        return Together((-(-len(self.codebook.codes) // batch),))

    def forward(self, x: Tensor, noise: Tensor, rows: range, batch: int) -> Tensor:
        """The loss of each image.

        Args:
            x: Images, `(b, C, H, W)`, in [-1, 1].
            noise: Standard normal numbers: of the latents' shape; with a codebook `(b, s)`, see
                `MovingCodebook`.
            rows: Positions of the images in the batch of all processes.
            batch: Its size.

        Returns:
            `(b,)`.
        """
        net = self.autoencoder
        mean, log_variance = net.encode(x)
        codes, told = None, x.new_zeros(())
        if self.codebook is None:
            rebuilt = net.decode(mean + (log_variance / 2).exp() * noise)
        else:
            codes, counted = self.codebook(mean, torch.special.ndtr(noise), rows, batch)
            told = report(self.codebook.reports, counted)
            # The decoder sees codes; the gradient passes on to the latents as if they were these.
            rebuilt = net.paint(mean + (codes - mean).detach())
        none = x.new_zeros(len(x), dtype=torch.float32)
        seen = Rebuilt(
            x, rebuilt.float(), mean, log_variance, codes, none, self._last[0], self._progress
        )
        numbers: list[Tensor] = []
        for term in self.terms.values():
            found = term(seen)
            numbers += found
            if term.likeness:
                seen = replace(seen, reconstruction=seen.reconstruction + sum(found))
        told = told + report(self.values, torch.stack([n.detach().mean() for n in numbers]))
        loss: Tensor = torch.stack(numbers).sum(0) + told
        return loss

    def begin(self, progress: float) -> None:
        """Before a step."""
        self._progress = progress

    @torch.no_grad()
    def settle(self, taken: bool) -> None:
        """Move the codes, and note what is logged."""
        for term in self.terms.values():
            term.settle(taken)
        told = self.values.grad
        if taken and told is not None:
            for name, value in zip(self.logged, told, strict=True):
                self._log[name].append(value.clone())
            if self.codebook is not None:
                assert self.codebook.reports.grad is not None
                usage = self.codebook.settle(self.codebook.reports.grad)
                self._log["perplexity"].append(usage.perplexity)
                self._log["codes_used"].append(float(usage.codes))
        for name in self.reported:
            self.get_parameter(name).grad = None

    def metrics(self) -> dict[str, float]:
        """Means of the terms, of perplexity and codes used in a batch, since the last call."""
        found = {name: float(np.mean([float(v) for v in kept])) for name, kept in self._log.items()}
        self._log.clear()
        return found


@dataclass(frozen=True)
class Together:
    """The objective of a `Rebuilding`, which is called as itself or as one of several copies.

    Attributes:
        noise: Shape of an image's noise.
    """

    noise: tuple[int, ...]

    def __call__(self, net: nn.Module, batch: Batch) -> Tensor:
        noise = batch.noise(batch.x0.new_empty(len(batch.x0), *self.noise))
        loss: Tensor = net(batch.x0, noise, batch.rows, batch.of)
        return loss


def with_terms(
    net: nn.Module,
    config: TrainConfig,
    data: Dataset,
    streams: Streams,
    world: World,
    first: Codec = Pixels(),  # noqa: B008 (frozen)
) -> Rebuilding | None:
    """The autoencoder with all that the options ask for; None: they ask for the plain loss.

    Args:
        net: On its device.
        config: Of the run.
        data: What it learns from.
        streams: Of the run; of all processes the codebook begins alike.
        world: The processes that train together.
        first: What makes images of the data.

    Raises:
        DemistError: They do not go together, or something is missing.
    """
    device = next(net.parameters()).device
    shape = first.state_shape(data.x.shape[1:])
    setting = Setting(config, data, shape, net, last_layer(net), device, world)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(replace(streams, rank=0, world=1).torch_seed(-2))
        terms = [term for make in TERMS if (term := make.of(setting)) is not None]
    if not isinstance(net, VQModel) and {term.name for term in terms} == {"error", "kl"}:
        return None
    if config.optimization.compile:
        raise UsageError(
            "compile = True: a codebook, and perceptual and adversarial terms are not compiled; "
            "leave it out"
        )
    codebook = None
    if isinstance(net, VQModel):
        codebook = start_codebook(net, config, data, streams, first)
    return Rebuilding(net, terms, codebook).to(device)


def start_codebook(
    net: VQModel, config: TrainConfig, data: Dataset, streams: Streams, first: Codec
) -> MovingCodebook:
    """What moves the codes of `net`, which are put among the latents that it gives at first."""
    f, (_, height, width) = net.downsample, first.state_shape(data.x.shape[1:])
    places, count = (height // f) * (width // f), config.latents.codebook
    rows = generator(streams.seed, "codebook", 0).permutation(len(data))
    rows = np.sort(rows[: max(1, -(-LATENTS * count // places))])
    x = first.encode(torch.from_numpy(np.array(data.x[rows])))
    codebook = MovingCodebook(net.quantize, config.latents.codebook_decay, places)
    with torch.no_grad():
        device = next(net.parameters()).device
        parts = [net.encode(part.to(device))[0].cpu() for part in x.split(64)]
        latents = torch.cat(parts).permute(0, 2, 3, 1).flatten(0, 2)
        codebook.start(latents, generator(streams.seed, "codebook", 1))
    codebook.seen = places * len(data)
    return codebook


def last_layer(net: nn.Module) -> Tensor:
    """Weight of the decoder's last convolution."""
    layers = [m for m in net.get_submodule("decoder").modules() if isinstance(m, nn.Conv2d)]
    return layers[-1].weight


def require_losses(config: TrainConfig) -> None:
    """Check that the options of an autoencoder's loss go together.

    Raises:
        UsageError: One of them has nothing to say.
    """
    given, usual = vars(config.latents), vars(LatentsConfig())
    quantised = config.latents.codec == "vq"
    needs = {
        **dict.fromkeys(("codebook", "codebook_decay", "commitment"), (quantised, "--codec vq")),
        "perceptual_features": (config.latents.perceptual > 0, "a weight, as --perceptual 0.1"),
        "adversarial_start": (config.latents.adversarial > 0, "a weight, as --adversarial 0.5"),
    }
    for name, (there, what) in needs.items():
        if given[name] != usual[name] and not there:
            raise UsageError(f"{name} = {given[name]!r} says nothing without {what}; leave it out")
