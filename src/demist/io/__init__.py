"""Bytes on the disk: whole or not there, and checked before they are believed."""

__all__ = [
    "arrays",
    "files",
    "folders",
    "gguf",
    "headers",
    "hub",
    "kept",
    "kinds",
    "notation",
    "sizes",
    "tensors",
    "untrusted",
    "weights",
]
