"""Codecs by name, for saved files."""

from demist.codecs.codec import Codec
from demist.parts import Family

CODECS = Family("codec", Codec, "codecs")  # type: ignore[type-abstract]
