"""27 kinds of bad picture, and mutants of good ones: each is decoded, or left out with a reason.

    python tests/faults/images.py [MUTANTS] [SEED]

Mutants are pictures of ten formats with bytes flipped, overwritten, cut or inserted. Decoding must
give bytes of the size asked for or raise an exception; it may not hang, use much memory or end the
process. Prints counts as JSON, and exits 1 otherwise.
"""

import json
import resource
import struct
import sys
import tempfile
import time
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from demist.data import Rules, decode, load

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 32, 3)).astype(np.uint8)


def encoded(kind, image=None, **options):
    image = image or Image.fromarray(PIXELS)
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, depth=8, colour=2, data=b""):
    """A PNG whose header says anything."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + body + png_chunk(b"IEND", b"")


def kinds():
    """Name -> bytes of 27 files that no one can train on."""
    png, jpeg, gif = encoded("png"), encoded("jpeg"), encoded("gif")
    webp, tiff, bmp = encoded("webp"), encoded("tiff"), encoded("bmp")
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 1
    return {
        "empty": b"",
        "one byte": b"\x89",
        "text": b"this is not an image\n" * 20,
        "html error page": b"<!DOCTYPE html><html><body>404</body></html>",
        "json": b'{"error": "not found"}',
        "zeros": bytes(5000),
        "random": RNG.bytes(5000),
        "png signature only": png[:8],
        "png header only": png[:33],
        "png half": png[: len(png) // 2],
        "png wrong checksum": bytes(flipped),
        "png of 0 by 0": png_of(0, 0),
        "png of 2^31 by 2^31": png_of(2**31 - 1, 2**31 - 1),
        "png bomb": png_of(20000, 20000, data=bytes(100_000)),
        "png without data": png_of(24, 24),
        "png unknown colour": png_of(8, 8, colour=7, data=bytes(300)),
        "png depth 3": png_of(8, 8, depth=3, data=bytes(300)),
        "jpeg start only": jpeg[:2],
        "jpeg tables only": jpeg[:200],
        "jpeg half": jpeg[: len(jpeg) // 2],
        "gif header only": gif[:13],
        "webp half": webp[: len(webp) // 2],
        "tiff pointing nowhere": tiff[:4] + b"\xff\xff\xff\x7f" + tiff[8:],
        "bmp half": bmp[: len(bmp) // 2],
        "tiff of floats half": encoded("tiff", Image.fromarray(np.ones((8, 8), np.float32)))[:200],
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) print\n",
        "pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00]\x94K\x01a.",
    }


def good():
    """Pictures to make mutants of."""
    image = Image.fromarray(PIXELS)
    frames = [Image.new("P", (16, 16), i) for i in range(3)]
    return [
        encoded("png"), encoded("jpeg"), encoded("jpeg", progressive=True), encoded("gif"),
        encoded("webp"), encoded("tiff"), encoded("bmp"), encoded("ppm"),
        encoded("png", image.quantize(16)),
        encoded("gif", frames[0], save_all=True, append_images=frames[1:]),
        encoded("tiff", compression="tiff_lzw"), encoded("jpeg", image.convert("CMYK")),
    ]  # fmt: skip


def mutant(data, rng):
    data = bytearray(data)
    place, how = int(rng.integers(len(data))), rng.integers(5)
    if how == 0:
        data[place] ^= 1 << int(rng.integers(8))
    elif how == 1:
        data[place : place + 4] = rng.bytes(4)
    elif how == 2:
        del data[place:]
    elif how == 3:
        data[place:place] = rng.bytes(int(rng.integers(1, 20)))
    else:
        data[min(place, 64)] = int(rng.choice([0, 0x7F, 0x80, 0xFF]))
    return bytes(data)


def main(mutants=300, seed=0):
    """Try so many mutants; what happened, as a dictionary."""
    rng = np.random.default_rng(seed)
    begun, worst = time.process_time(), 0.0
    facts = dict.fromkeys(("refused", "decoded", "wrong"), 0)
    bad, files = kinds(), good()
    facts["kinds"] = len(bad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        facts["kinds_decoded"] = 0
        for data in bad.values():
            try:
                decode(data, Rules(size=16))
                facts["kinds_decoded"] += 1
            except Exception as error:
                facts["wrong"] += not (str(error) or type(error).__name__)
        for _ in range(mutants):
            data = mutant(files[int(rng.integers(len(files)))], rng)
            before = time.process_time()
            try:
                x = decode(data, Rules(size=16, channels=3))
            except Exception:
                facts["refused"] += 1
            else:
                facts["decoded"] += 1
                facts["wrong"] += x.shape != (3, 16, 16) or x.dtype != np.uint8
            worst = max(worst, time.process_time() - before)
    facts["slowest_ms"] = round(1e3 * worst)
    facts["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
    return facts | in_a_folder(bad) | {"seconds": round(time.process_time() - begun, 1)}


def in_a_folder(bad, whole=2673):
    """Among so many good pictures, 27 bad ones (1 %) are left out and listed by name."""
    with tempfile.TemporaryDirectory() as folder:
        data = encoded("png", Image.fromarray(PIXELS[:8, :8]))
        for i in range(whole):
            Path(folder, f"good-{i:04d}.png").write_bytes(data)
        for i, content in enumerate(bad.values()):
            Path(folder, f"bad-{i:02d}.png").write_bytes(content)
        found = load(folder, size=8)
    names = [file.path for file in found.bad]
    right = names == [f"bad-{i:02d}.png" for i in range(len(bad))] and len(found) == whole
    said = all(file.reason and " at 0x" not in file.reason for file in found.bad)
    return {"listed": len(names), "folder_right": right and said}


if __name__ == "__main__":
    result = main(*map(int, sys.argv[1:]))
    print(json.dumps(result))
    ok = not result["wrong"] and result["folder_right"] and not result["kinds_decoded"]
    sys.exit(not ok)
