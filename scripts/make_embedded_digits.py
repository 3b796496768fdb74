"""Make the digits embedded in the package from the four MNIST files.

    python scripts/make_embedded_digits.py FOLDER [OUT]

Of every class, pictures are taken at even distances in the order of the file, so that all its
parts (the writers of the first half of the test set are easier to read) are represented. The same
files and zlib give the same bytes.
"""

import gzip
import hashlib
import sys
from io import BytesIO
from pathlib import Path

import numpy as np

from demist.data.readers.idx import parse_idx
from demist.io.files import write_bytes

PER_CLASS = {"train": 1_000, "t10k": 200}
PACKAGE = Path(__file__).resolve().parents[1] / "src/demist/data/digits"


def main(source: str, out: str = str(PACKAGE)) -> None:
    for split, per_class in PER_CLASS.items():
        images, labels = (
            parse_idx((Path(source) / name).read_bytes(), name, dimensions)
            for name, dimensions in (
                (f"{split}-images-idx3-ubyte.gz", 3),
                (f"{split}-labels-idx1-ubyte.gz", 1),
            )
        )
        chosen = evenly(labels, per_class)
        for kind, array in (("images", images[chosen]), ("labels", labels[chosen])):
            path = Path(out) / f"{split}-{kind}-idx{array.ndim}-ubyte.gz"
            content = idx(array)
            write_bytes(path, gzipped(content))
            print(f"{path}: {path.stat().st_size:,} bytes")
            print(f"  SHA-256 unpacked {hashlib.sha256(content).hexdigest()}")


def evenly(labels: np.ndarray, per_class: int) -> np.ndarray:
    """Increasing indices of `per_class` entries of each of the ten digits."""
    chosen = []
    for digit in range(10):
        (places,) = np.nonzero(labels == digit)
        chosen.append(places[(2 * np.arange(per_class) + 1) * len(places) // (2 * per_class)])
    return np.sort(np.concatenate(chosen))


def idx(array: np.ndarray) -> bytes:
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def gzipped(content: bytes) -> bytes:
    """Compressed with nothing in the header that changes from day to day."""
    buffer = BytesIO()
    with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


if __name__ == "__main__":
    main(*sys.argv[1:])
