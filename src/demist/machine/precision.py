"""The arithmetic of a network: float32, bfloat16 or float16."""

import torch
from torch import nn

from demist.errors import UsageError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Name -> torch's type."""


def dtype_called(name: str) -> torch.dtype:
    """The type of this name.

    Raises:
        UsageError: There is none.
    """
    if name not in DTYPES:
        raise UsageError(f"dtype = {name!r}; choose one of {', '.join(DTYPES)}")
    return DTYPES[name]


def resolve_precision(precision: str, net: nn.Module) -> str:
    """`auto` becomes bf16 for convolutional networks where the processor multiplies in it.

    A rule and not a measurement: the same command gives the same weights on a busy machine.
    """
    if precision != "auto":
        return precision
    if not any(isinstance(module, nn.Conv2d) for module in net.modules()):
        return "fp32"
    if next(net.parameters()).is_cuda:
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return "bf16" if any(getattr(torch.cpu, check, bool)() for check in checks) else "fp32"
