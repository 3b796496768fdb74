"""How the weights move: Muon for the hidden matrices and AdamW for the rest, or AdamW alone.

Muon replaces the gradient of a matrix, averaged over steps, by the nearest matrix whose singular
values are all about 1, so that rare directions move as far as common ones. Convolutions count as
matrices of (out, in * height * width). Embeddings, vectors and matrices with a side below
`SMALLEST`, such as one that writes a few channels of pixels, are left to AdamW.

Where the run computes in bf16 this is torch.optim.Muon, but for other rounding of wide matrices
(gradients of convolutions are), which are iterated on by way of their small products with
themselves in less than half of the time. Where it computes in fp32 so does this, and a gradient's
rounding, which another number of processes changes, stays small. Of parameters of which processes
hold shares (`demist.training.sharding`) the average is put together, and each process moves its own
share.

References:
    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    Liu et al. 2025, "Muon is Scalable for LLM Training", arXiv:2502.16982, section 2.2 (steps as
        long as AdamW's, whatever the matrix's shape).
"""

import math
from collections import defaultdict

import torch
from torch import Tensor, nn

from demist.config import OptimizationConfig
from demist.training.joint import Joint
from demist.training.sharding import gathered, share_of

SMALLEST = 16
"""Shorter sides of a matrix make it no hidden one."""
TOGETHER = 2**22
"""Numbers in matrices that are iterated on together: many small ones, or one that may be larger."""
MOMENTUM = 0.95
QUINTIC = 3.4445, -4.7750, 2.0315
"""x -> a x + b x^3 + c x^5 draws every singular value in (0, 1] towards 1, the small ones fast."""
ITERATIONS = 5
ON_END = {torch.bfloat16: 3}
"""How many of them are done on x x^T alone before a wide matrix is made again. Rounding in x x^T,
which hides small singular values, grows 12-fold in each: too much for five of bf16."""


class Optimizer:
    """The optimizers of a network's trained parameters, as one.

    Args:
        net: The network, on its device; its parameters must stay the same tensors. Of several (see
            `demist.training.joint`) the rates are theirs, and what is reported moves nothing.
        options: Kind of optimizer, and its numbers; the learning rate comes with each step.
    """

    def __init__(self, net: nn.Module, options: OptimizationConfig):
        reported = net.reported if isinstance(net, Joint) else ()
        named = {
            name: p
            for name, p in net.named_parameters()
            if p.requires_grad and name not in reported
        }
        hidden = hidden_matrices(net) & set(named) if options.optimizer == "muon" else set()
        self.parameters = list(named.values())
        self._options = options
        self._rest = {name: p for name, p in named.items() if name not in hidden}
        self._matrices = {name: p for name, p in named.items() if name in hidden}
        self._momenta = {
            n: torch.zeros_like(p.detach().flatten(1)) for n, p in self._matrices.items()
        }
        rates = net.rates if isinstance(net, Joint) else {}
        self._rates = {
            name: next((rate for start, rate in rates.items() if name.startswith(start)), 1.0)
            for name in named
        }
        groups = defaultdict(list)
        for name, p in self._rest.items():
            groups[self._rates[name]].append(p)
        self._adamw = torch.optim.AdamW(
            [{"params": some, "rate": rate} for rate, some in groups.items()] or [{"params": []}],
            betas=(options.beta1, options.beta2),
            weight_decay=options.weight_decay,
            fused=True,
        )

    @torch.no_grad()
    def step(self, lr: float, bf16: bool = False) -> None:
        """Update all parameters that have a gradient.

        Args:
            lr: Learning rate of AdamW; Muon's is `muon_ratio` times it.
            bf16: Whether Muon may compute in bf16.
        """
        for group in self._adamw.param_groups:
            group["lr"] = lr * group.get("rate", 1.0)
        self._adamw.step()
        equal = defaultdict(list)
        for name, p in self._matrices.items():
            if p.grad is not None:
                momentum = self._momenta[name]
                equal[momentum.shape, self._rates[name]].append((p, p.grad.flatten(1), momentum))
        for (shape, rate), matrices in equal.items():
            count = max(1, TOGETHER // shape.numel())
            for i in range(0, len(matrices), count):
                self._turn(matrices[i : i + count], self._options.muon_ratio * lr * rate, bf16)

    def _turn(
        self, matrices: list[tuple[nn.Parameter, Tensor, Tensor]], lr: float, bf16: bool
    ) -> None:
        """Muon's step for (parameter, gradient, momentum) of one shape."""
        ahead = []
        for _, gradient, momentum in matrices:
            momentum.lerp_(gradient, 1 - MOMENTUM)
            ahead.append(gathered(gradient.lerp(momentum, MOMENTUM)))  # Nesterov's
        turned = orthogonal(torch.stack(ahead), torch.bfloat16 if bf16 else torch.float32)
        length = 0.2 * math.sqrt(max(turned.shape[1:]))
        for (p, _, _), change in zip(matrices, turned, strict=True):
            p.mul_(1 - lr * self._options.weight_decay)
            p.add_(share_of(change.reshape(p.shape), p), alpha=-lr * length)

    def tensors(self) -> dict[str, Tensor]:
        """The live state, `parameter/name` -> tensor; made now if there has been no step yet."""
        out = {f"{name}/momentum_buffer": value for name, value in self._momenta.items()}
        for name, p in self._rest.items():
            state = self._adamw.state[p]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32, device=p.device)
                state |= {key: torch.zeros_like(p) for key in ("exp_avg", "exp_avg_sq")}
            out |= {f"{name}/{key}": value for key, value in state.items()}
        return out


def orthogonal(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Matrices of the same singular vectors, all of whose singular values are about 1 (0.7 to 1.2).

    Newton and Schulz's iteration x <- (a + b x x^T + c (x x^T)^2) x, with Jordan's coefficients.
    For a wide matrix most of it is done on the small x x^T, as all its powers commute.

    Args:
        matrices: `(N, rows, columns)`.
        dtype: Of the arithmetic and of the result.
    """
    x = matrices.to(dtype)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    if x.shape[2] > 1.5 * x.shape[1]:
        on_end = ON_END.get(dtype, ITERATIONS)
        for done in range(0, ITERATIONS, on_end):
            x = factor(x @ x.mT, min(on_end, ITERATIONS - done)) @ x
    else:
        for _ in range(ITERATIONS):
            x = torch.baddbmm(x, cubic_and_quintic(x @ x.mT), x, beta=QUINTIC[0])
    return x.mT if tall else x


def cubic_and_quintic(gram: Tensor) -> Tensor:
    """The sum b x x^T + c (x x^T)^2, of which `gram` is x x^T."""
    _, b, c = QUINTIC
    return torch.baddbmm(gram, gram, gram, beta=b, alpha=c)


def factor(gram: Tensor, count: int) -> Tensor:
    """What `count` iterations multiply matrices x by, of which `gram` is x x^T."""
    first, rest = QUINTIC[0], cubic_and_quintic(gram)
    if count == 1:
        rest.diagonal(dim1=1, dim2=2).add_(first)
        return rest
    for _ in range(2):
        gram = torch.baddbmm(gram, rest, gram, beta=first)
    later = factor(gram, count - 1)
    return torch.baddbmm(later, later, rest, beta=first)


def hidden_matrices(net: nn.Module) -> set[str]:
    """Names of the weights of linear and convolutional layers that Muon moves."""
    return {
        f"{name}.weight".lstrip(".")
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        and min(n := len(module.weight), module.weight.numel() // n) >= SMALLEST
    }
