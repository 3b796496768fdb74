"""Keeps one skin tone of every sixth emoji from training, so that it can be asked for.

    python benchmarks/leave_out_tones.py NOTO_EMOJI TRAIN HELD

Of a folder with `metadata.jsonl`, whose rows name the emoji without tone (`base`) and its tones
(`tone`, a list or null), the 1st, 7th, 13th ... figure gives up its first, second, ... fifth tone
in turn. HELD gets these images, TRAIN all others; both are links beside a `metadata.jsonl` of their
own.
"""

import json
import sys
from pathlib import Path


def main(source: Path, train: Path, held: Path) -> str:
    """Writes both folders and says how many images each has."""
    rows = [json.loads(line) for line in (source / "metadata.jsonl").read_text().splitlines()]
    toned: dict[str, list[dict]] = {}
    for row in rows:
        if row["tone"] and len(row["tone"]) == 1:
            toned.setdefault(row["base"], []).append(row)
    left_out = [of[i % len(of)]["file_name"] for i, of in enumerate(list(toned.values())[::6])]
    for folder, its in (
        (train, [row for row in rows if row["file_name"] not in left_out]),
        (held, [row for row in rows if row["file_name"] in left_out]),
    ):
        (folder / "images").mkdir(parents=True)
        for row in its:
            (folder / row["file_name"]).symlink_to((source / row["file_name"]).resolve())
        (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in its))
    return f"{len(rows) - len(left_out)} images for training, {len(left_out)} kept back"


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    print(main(*map(Path, sys.argv[1:])))
