"""Where networks run."""

import torch

from demist.errors import UsageError


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the first CUDA device, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device = {name!r} cannot be used: {reason}; try auto or cpu") from None
    return device
