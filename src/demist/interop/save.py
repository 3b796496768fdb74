"""A published model written as a folder in the layout of diffusers, which opens there and here."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from demist.conditions import TextEncoder
from demist.errors import UsageError
from demist.interop import controls
from demist.interop.relearned import OWN
from demist.interop.source import INDEX, Source
from demist.io.files import write_json
from demist.io.tensors import write_tensors
from demist.networks.published import Published
from demist.networks.published.image_prompt import Decoupled

VERSION = "0.30.0"
"""The version of diffusers whose layout this is."""
WEIGHTS = "diffusion_pytorch_model.safetensors"
SCHEDULER, LOW = "scheduler", "low_res_scheduler"


def save(
    folder: Path,
    source: Source,
    networks: Mapping[str, nn.Module],
    encoders: Iterable[TextEncoder] = (),
    said: Mapping[str, Any] | None = None,
) -> None:
    """Write a model into an existing, empty folder.

    Configurations are those that the model came with; weights are those that it has now.

    Args:
        folder: Where to.
        source: What the model was read from.
        networks: Name -> network, of which those in diffusers' form are written.
        encoders: Text encoders; those that were not needed yet are opened.
        said: What a model says of itself that learned here; see `OWN`.

    Raises:
        UsageError: No folder of diffusers holds such control networks.
    """
    index = {key: value for key, value in source.index.items() if not isinstance(value, list)}
    kind = controls.kind_with(str(index.pop("_class_name")), networks)
    index = {"_class_name": kind, "_diffusers_version": VERSION} | {
        key: value for key, value in index.items() if key[:1] != "_"
    }
    for key, value in source.index.items():
        if isinstance(value, list):  # a part that is not read here, such as a safety checker
            index[key] = [None, None]
    for name, net in networks.items():
        if isinstance(net, Published):
            added = controls.is_control(net) and not source.has(name)
            own = None if added else source.config(name if source.has(name) else "")
            write_network(folder / name, net, own)
            index[name] = ["diffusers", net.kind]
    for name in (SCHEDULER, LOW):
        if name == SCHEDULER or source.has(name):
            scheduler = source.scheduler(name)
            write_json(_made(folder / name) / "scheduler_config.json", scheduler)
            index[name] = ["diffusers", str(scheduler["_class_name"])]
    for encoder in encoders:
        if encoder.words:
            raise UsageError(
                f"a folder of diffusers does not hold the words of a textual inversion "
                f"({', '.join(encoder.words)}); save the model without it"
            )
        tokenizer = encoder.name.replace("text_encoder", "tokenizer")
        encoder.model.save_pretrained(str(folder / encoder.name))
        encoder.tokenizer.save_pretrained(str(folder / tokenizer))
        index[encoder.name] = ["transformers", type(encoder.model).__name__]
        index[tokenizer] = ["transformers", type(encoder.tokenizer).__name__]
    told = {} if said is None else {OWN: dict(said)}
    write_json(folder / INDEX, controls.listed(index) | told)


def write_network(folder: Path, net: Published, config: Mapping[str, Any] | None = None) -> None:
    """One network with its configuration, as a new folder.

    Args:
        folder: Where to.
        net: The network.
        config: Its `config.json`; None: the one it was made from.
    """
    if any(isinstance(module, Decoupled) for module in net.modules()):
        raise UsageError(
            "a folder of diffusers does not hold an IP-Adapter; save the model without it"
        )
    plain = net.config if config is None else dict(config)
    head = {"_class_name": net.kind, "_diffusers_version": VERSION}
    write_json(
        _made(folder) / "config.json", head | {k: v for k, v in plain.items() if k[:1] != "_"}
    )
    write_tensors(folder / WEIGHTS, net.state_dict())


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
