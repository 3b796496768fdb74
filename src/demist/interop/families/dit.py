"""DiT: classes by number, or by the names in the index; the last row of the table is none."""

from demist.conditions import Label
from demist.interop.codecs import read_codec
from demist.interop.families.assembly import Assembly, Opened


def base(model: Opened) -> Assembly:
    """Images of classes."""
    count = int(model.net.config["num_embeds_ada_norm"])
    named = model.index.get("id2label")
    names = [str(i) for i in range(count)]
    if isinstance(named, dict):
        names = [str(named.get(str(i), i)).partition(",")[0] for i in range(count)]
        twice = {name for name in names if names.count(name) > 1}
        names = [f"{name} {i}" if name in twice else name for i, name in enumerate(names)]
    codec = read_codec(model.source, "vae")
    return Assembly(codec, {"label": Label(tuple(names))}, {"guidance": 4.0})
