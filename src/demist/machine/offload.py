"""Parts of a model that take turns on a device: one is there, the others wait on the CPU."""

from typing import Any

import torch
from torch import Tensor, nn


class Turns:
    """A device that holds one part of a model at a time: the one that ran last.

    Attributes:
        device: The device.
        there: The part that it holds.
    """

    def __init__(self, device: torch.device):
        """Nothing is there yet."""
        self.device, self.there = device, None

    device: torch.device
    there: nn.Module | None

    def add(self, part: nn.Module) -> None:
        """Let a part take turns; what calls another method than `forward` calls `bring` first.

        What `forward` is given goes to the device, and its result back to where the first
        argument was.
        """
        part.to("cpu")
        object.__setattr__(part, "turns", self)
        home = [torch.device("cpu")]

        def before(part: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
            home[0] = next(a.device for a in (*args, *kwargs.values()) if isinstance(a, Tensor))
            bring(part)
            return moved(args, self.device), moved(kwargs, self.device)

        def after(part: nn.Module, args: Any, output: Any) -> Any:
            return moved(output, home[0])

        part.register_forward_pre_hook(before, with_kwargs=True)
        part.register_forward_hook(after)

    def take(self, part: nn.Module) -> None:
        """Put a part on the device, and the one that is there back."""
        if self.there is part:
            return
        # What is made in inference mode could not be used outside of it.
        with torch.inference_mode(False), torch.no_grad():
            if self.there is not None:
                self.there.to("cpu")
            part.to(self.device)
        self.there = part


def bring(part: nn.Module) -> bool:
    """Put a part where it runs, if it takes turns; whether it does."""
    turns: Turns | None = getattr(part, "turns", None)
    if turns is not None:
        turns.take(part)
    return turns is not None


def moved(value: Any, device: torch.device) -> Any:
    """The tensors in tuples, lists and dictionaries on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        found = {key: moved(item, device) for key, item in value.items()}
        return found if type(value) is dict else type(value)(found)
    if isinstance(value, tuple | list):
        return type(value)(moved(item, device) for item in value)
    return value
