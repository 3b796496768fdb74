"""How the weights move: Muon for the hidden matrices and AdamW for the rest, or AdamW alone.

Muon replaces the gradient of a matrix, averaged over steps, by the nearest matrix whose singular
values are all about 1, so that rare directions move as far as common ones. Convolutions count as
matrices of (out, in * height * width). Embeddings, vectors and matrices with a side below
`SMALLEST`, such as one that writes a few channels of pixels, are left to AdamW.

References:
    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    Liu et al. 2025, "Muon is Scalable for LLM Training", arXiv:2502.16982, section 2.2 (steps as
        long as AdamW's, whatever the matrix's shape).
"""

import torch
from torch import Tensor, nn

from demist.config import OptimizationConfig

SMALLEST = 16
"""Shorter sides of a matrix make it no hidden one."""


class Optimizer:
    """The optimizers of a network's trained parameters, as one.

    Args:
        net: The network, on its device; its parameters must stay the same tensors.
        options: Kind of optimizer, and its numbers; the learning rate comes with each step.
    """

    def __init__(self, net: nn.Module, options: OptimizationConfig):
        named = {name: p for name, p in net.named_parameters() if p.requires_grad}
        hidden = hidden_matrices(net) & set(named) if options.optimizer == "muon" else set()
        self.parameters = list(named.values())
        self._rest = {name: p for name, p in named.items() if name not in hidden}
        self._matrices = {name: p for name, p in named.items() if name in hidden}
        # Muon takes matrices only: the same memory, seen as one.
        self._views = {
            n: nn.Parameter(p.detach().view(len(p), -1)) for n, p in self._matrices.items()
        }
        self._made: list[tuple[torch.optim.Optimizer, float]] = []
        if self._rest:
            adamw = torch.optim.AdamW(
                self._rest.values(),
                betas=(options.beta1, options.beta2),
                weight_decay=options.weight_decay,
                fused=True,
            )
            self._made.append((adamw, 1.0))
        if self._views:
            muon = torch.optim.Muon(
                self._views.values(),
                weight_decay=options.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
            self._made.append((muon, options.muon_ratio))

    def step(self, lr: float) -> None:
        """Update all parameters that have a gradient."""
        for name, view in self._views.items():
            grad = self._matrices[name].grad
            view.grad = None if grad is None else grad.flatten(1)
        for optimizer, ratio in self._made:
            for group in optimizer.param_groups:
                group["lr"] = ratio * lr
            optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """The live state, `parameter/name` -> tensor; made now if there has been no step yet."""
        out: dict[str, Tensor] = {}
        for optimizer, _ in self._made:
            muon = isinstance(optimizer, torch.optim.Muon)
            for name, p in (self._views if muon else self._rest).items():
                state = optimizer.state[p]
                if not state:
                    state |= _fresh(p, muon)
                out |= {f"{name}/{key}": value for key, value in state.items()}
        return out


def _fresh(p: Tensor, muon: bool) -> dict[str, Tensor]:
    if muon:
        return {"momentum_buffer": torch.zeros_like(p)}
    step = torch.zeros((), dtype=torch.float32, device=p.device)
    return {"step": step, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}


def hidden_matrices(net: nn.Module) -> set[str]:
    """Names of the weights of linear and convolutional layers that Muon moves."""
    return {
        f"{name}.weight".lstrip(".")
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        and min(n := len(module.weight), module.weight.numel() // n) >= SMALLEST
    }
