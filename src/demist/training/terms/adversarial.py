"""The adversarial term; see `demist.objectives.adversarial`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from demist.networks.discriminator import Discriminator
from demist.objectives.adversarial import balance, critic_loss, fooling_loss
from demist.training.joint import report
from demist.training.terms.term import Rebuilt, Setting, Term

RATE = 0.5
"""Learning rate of the critic in units of the autoencoder's."""
WARM = 0.2
"""Share of the rest of the run in which the weight grows."""
MEMORY = 0.95
"""Of the running means of what the batches asked for, for one step."""


class Adversarial(Term):
    """A critic of the reconstructions that is trained along, from some moment of the run on.

    The ratio lambda of a step is that of the batches before, whatever parts they were divided into:
    so it is the same in all processes. In the first step of the term it is 0. Three things keep the
    critic from pulling the autoencoder away from what it has learned:

    - Near the optimum the gradient of likeness is mostly noise, which the optimizer averages out,
      while the critic pulls into one direction for many steps. So likeness counts with the norm of
      its running mean, not with the mean of its norms.
    - A critic that learns makes its gradient grow within few steps, which the past does not know
      yet. So it learns slowly, and counts with the larger of its last norm and their running mean.
    - The weight grows from 0 in the first `WARM` of what is left of the run.

    Args:
        critic: On its device.
        last: Weight of the decoder's last layer.
        weight: Of the term, in units of the ratio.
        begins: Share of the run that is done by then.
    """

    name: ClassVar[str] = "adversarial"
    logged: ClassVar[tuple[str, ...]] = ("adversarial", "critic")
    reported: ClassVar[tuple[str, ...]] = ("slopes",)
    rates: ClassVar[Mapping[str, float]] = MappingProxyType({"critic": RATE})
    ratio: Tensor
    pull: Tensor
    push: Tensor

    def __init__(self, critic: nn.Module, last: Tensor, weight: float, begins: float):
        super().__init__()
        self.critic = critic
        self.weight, self.begins = weight, begins
        self.slopes = nn.Parameter(torch.zeros(2, last.numel(), device=last.device))
        self.register_buffer("ratio", torch.zeros((), device=last.device))
        self.register_buffer("pull", torch.zeros_like(self.slopes.detach()[0]))
        self.register_buffer("push", torch.zeros((), device=last.device))

    @classmethod
    def of(cls, setting: Setting) -> "Adversarial | None":
        """Where it has a weight."""
        latents = setting.config.latents
        if not latents.adversarial:
            return None
        critic = Discriminator.of(setting.shape).to(setting.device)
        term = cls(critic, setting.last, latents.adversarial, latents.adversarial_start)
        count = sum(p.numel() for p in critic.parameters())
        term.notes = (
            f"adversarial: from {latents.adversarial_start:.0%} of the run on, a critic of "
            f"{count:,} parameters is trained along",
        )
        return term

    def forward(self, seen: Rebuilt) -> tuple[Tensor, ...]:
        """What the autoencoder is asked for, and the critic's loss."""
        idle = sum((p.float().sum() * 0 for p in self.parameters()), start=seen.x.new_zeros(()))
        if seen.progress < self.begins:
            zero = seen.x.new_zeros(len(seen.x))
            return zero + idle, zero
        # Through a critic that stays as it is, to the reconstruction and no further.
        fake = seen.rebuilt.detach().requires_grad_()
        frozen = {name: p.detach() for name, p in self.critic.named_parameters()}
        asked = fooling_loss(functional_call(self.critic, frozen, (fake,)))
        (pull,) = torch.autograd.grad(asked.sum(), fake)
        along = (seen.rebuilt * pull).flatten(1).sum(1)
        value = asked.detach() + along - along.detach()
        told = report(self.slopes, torch.stack(self._slopes(seen, pull)))
        real, made = self.critic(torch.cat([seen.x, seen.rebuilt.detach()])).chunk(2)
        warm = (seen.progress - self.begins) / (WARM * (1 - self.begins))
        weight = self.weight * min(1.0, warm)
        return weight * self.ratio * value + told + idle, critic_loss(real, made)

    def _slopes(self, seen: Rebuilt, pull: Tensor) -> list[Tensor]:
        """Gradients of both losses, means over the batch, with respect to the last layer."""
        likeness = seen.reconstruction.mean()
        (a,) = torch.autograd.grad(likeness, seen.last, retain_graph=True)
        (b,) = torch.autograd.grad(seen.rebuilt, seen.last, pull / len(pull), retain_graph=True)
        return [a.flatten(), b.flatten()]

    @torch.no_grad()
    def settle(self, taken: bool) -> None:
        """Take the ratio from what was reported; before the term begins there is nothing."""
        told = self.slopes.grad
        if taken and told is not None and told.any():
            now = torch.linalg.vector_norm(told[1])
            if not self.push:
                self.pull.copy_(told[0])
                self.push.copy_(now)
            self.pull.lerp_(told[0], 1 - MEMORY)
            self.push.lerp_(now, 1 - MEMORY)
            slow = balance(self.pull, torch.maximum(now, self.push))
            self.ratio.copy_(torch.minimum(balance(*told), slow))
