"""Small files for the tests of the data package."""

import gzip
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "png", **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(colour, size=(4, 4), mode="RGB") -> bytes:
    """An image of one colour."""
    return encoded(Image.new(mode, size, colour))


def write(root: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def mnist_like(root: Path, n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """The four canonical files, the test pair holding the same but gzipped and in reverse."""
    images = np.arange(n * 6, dtype=np.uint8).reshape(n, 2, 3)
    labels = np.arange(n) % 3
    write(
        root,
        {
            "train-images-idx3-ubyte": idx(images),
            "train-labels-idx1-ubyte": idx(labels),
            "t10k-images-idx3-ubyte.gz": gzip.compress(idx(images[::-1])),
            "t10k-labels-idx1-ubyte.gz": gzip.compress(idx(labels[::-1])),
        },
    )
    return images, labels
