"""Models that come with ControlNets or T2I-Adapters: one, or several in numbered folders."""

import itertools
from dataclasses import replace

from demist.errors import DataError
from demist.interop.controls import KINDS, conditions_of, name_of
from demist.interop.families.assembly import Assembly, Family, Opened


def with_controls(base: Family, folder: str) -> Family:
    """A family with control networks beside its U-Net.

    Args:
        base: The family without them.
        folder: Of the first; the others are `folder_1`, `folder_2`, ...
    """

    def family(model: Opened) -> Assembly:
        source = model.source
        source.require((folder,))
        around = base(model)
        numbered = (f"{folder}_{i}" for i in itertools.count(1))
        further = itertools.takewhile(lambda name: (source.place / name).is_dir(), numbered)
        nets = {}
        for number, name in enumerate((folder, *further), start=1):
            net = source.network(name)
            if net.kind not in KINDS:
                raise DataError(f"{source.where(name)} is a {net.kind}, and no control network")
            nets[name_of(number)] = net
        shape = around.codec.data_shape((model.net.channels[1], *model.sides))
        led = conditions_of(nets, model.net, around.codec, shape)
        return replace(around, conditions={**around.conditions, **led}, controls=nets)

    return family
