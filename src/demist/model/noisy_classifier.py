"""A classifier that knows noise, for `demist.guidance.Classifier`.

It sees what the denoiser sees, `x_t` at every level of noise, and so its gradient points towards a
class from anywhere on the way. It is made for one model's schedule and range of data, by
`demist.training.noisy_classifier`, and is one safetensors file.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from demist.conditions.label import class_index
from demist.core import LogSNRClock, Schedule, left
from demist.errors import DataError, MissingError, RefusedError, UsageError
from demist.guidance import Classifier
from demist.io.files import atomic, json_sha256
from demist.io.tensors import read_metadata, read_tensors, write_tensors
from demist.model.components import build, hash_of
from demist.model.consistent import require_declared
from demist.model.folder import from_json, to_json
from demist.model.pipeline import Pipeline
from demist.model.plan import Guide
from demist.model.sums import SUMS, sealed
from demist.networks.encoder import Encoder

DECLARED = {"input_std": float | None, "classes": tuple[str, ...]}
"""Types of what is kept beside the network and the schedule."""


class NoisyClassifier(nn.Module):
    """p(class | x_t) at any time.

    Args:
        net: From scaled noisy images and the clock to logits.
        schedule: Of the model to guide.
        input_std: Of its data: the network sees x_t at unit variance.
        classes: Names of the classes.
    """

    def __init__(
        self, net: Encoder, schedule: Schedule, input_std: float | None, classes: tuple[str, ...]
    ):
        super().__init__()
        self.net, self.schedule, self.classes = net, schedule, classes
        self.input_std = 1.0 if input_std is None else input_std
        self.clock = LogSNRClock()

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Log-probabilities `(B, K)` of noisy states at time `t`, `()` or `(B,)`."""
        alpha, sigma = self.schedule(t)
        clock = self.clock(t, alpha, sigma).float().expand(len(x)).to(x.device)
        a, s = left(alpha, x), left(sigma, x)
        seen = x * ((a * self.input_std) ** 2 + s**2).rsqrt()
        log_p: Tensor = self.net(seen.float(), clock).log_softmax(1)
        return log_p

    def towards(self, value: str | int) -> Callable[..., Tensor]:
        """The log-probability of one class, as `demist.guidance.Classifier` takes it.

        Raises:
            UsageError: There is no such class.
        """
        k = class_index(value, self.classes)
        return lambda x, t, **cond: self(x, t)[:, k]

    def require_fits(self, pipeline: Pipeline) -> None:
        """Raise UsageError unless this was trained for the noise and the images of `pipeline`."""
        ours, theirs = (to_json(of.schedule) for of in (self, pipeline.denoiser))
        if ours != theirs:
            raise UsageError(
                f"the classifier was trained for the noise of another schedule ({ours}) than the "
                f"model's ({theirs}); make one with `demist classifier DATA --noise-of MODEL`"
            )
        channels, patch = self.net.config["in_channels"], self.net.config["patch"]
        shape = pipeline.state_shape
        sides = shape[1:]
        if shape[0] != channels or not sides or any(side % patch for side in sides):
            raise UsageError(
                f"the classifier reads images of {channels} channels in patches of {patch}, the "
                f"model has states of shape {shape}; make one with "
                f"`demist classifier DATA --noise-of MODEL`"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and description to one safetensors file, whole or not at all."""
        about = {
            "net": self.net.config,
            "schedule": to_json(self.schedule),
            "input_std": self.input_std,
            "classes": list(self.classes),
            "weights": hash_of({"net": self.net}),
        }
        metadata = {"noisy_classifier": json.dumps(sealed(about))}
        with atomic(path) as temporary:
            write_tensors(temporary, self.net.state_dict(), metadata)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "NoisyClassifier":
        """Read what `save` wrote.

        Raises:
            MissingError: There is no such file.
            DataError: It is something else, or damaged.
        """
        if not Path(path).is_file():
            raise MissingError(f"there is no classifier at {path}")
        try:
            about, tensors = json.loads(read_metadata(path)["noisy_classifier"]), read_tensors(path)
            stated = about.pop(SUMS, None)  # older ones have none
            net = build(Encoder, about["net"], tensors, str(path))
            if stated is not None and (stated, about["weights"]) != (
                json_sha256(about),
                hash_of({"net": net}),
            ):
                raise DataError("its SHA-256 is not the one recorded")
            require_declared(about, DECLARED)
            schedule = from_json(about["schedule"], str(path))
            if not isinstance(schedule, Schedule) or len(about["classes"]) != net.config["outputs"]:
                raise DataError("its schedule or its classes do not fit")
            made = NoisyClassifier(net, schedule, about["input_std"], tuple(about["classes"]))
        except RefusedError:
            raise
        except Exception as error:  # what a file says may make a part raise anything
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"{path} is no classifier of noisy images ({reason}); "
                f"`demist classifier DATA --noise-of RUN --out FILE` makes one"
            ) from None
        return made.eval().requires_grad_(False)


def classifier_guide(
    path: str | os.PathLike[str], pipeline: Pipeline, towards: str, scale: float = 1.0
) -> Guide:
    """Guidance of a model by the classifier in a file; see `demist.guidance.Classifier`.

    Args:
        path: Where `NoisyClassifier.save` wrote it.
        pipeline: The model to guide.
        towards: Name of the class.
        scale: How strongly.

    Raises:
        MissingError: There is no such file.
        DataError: It is something else, or damaged.
        UsageError: There is no such class, or the classifier was made for another model.
    """
    made = NoisyClassifier.load(path)
    made.require_fits(pipeline)
    made.to(pipeline.device)
    log_prob = made.towards(towards)
    return lambda model: Classifier(model, log_prob, scale)
