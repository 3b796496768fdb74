"""Ways to damage a file, by accident or with care."""

import copy
import hashlib
import json
import os
import pickle

from demist.io.files import json_sha256

INDEX = "model_index.json"
VALUES = [
    None, True, False, -1, 0, 3, 10**12, 2**70, 1e308, 0.5, float("nan"), float("inf"), "", "x",
    "adams", [], [1], [0, 0], ["a"], {}, {"kind": "VP"}, {"kind": 7}, {"component": "autoencoder"},
]  # fmt: skip


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def flip(file, rng):
    data = bytearray(file.read_bytes())
    for _ in range(int(rng.integers(1, 4))):
        if data:
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    file.write_bytes(data)


def overwrite(file, rng):
    data = bytearray(file.read_bytes())
    begin, length = int(rng.integers(len(data) + 1)), int(rng.integers(1, 40))
    data[begin : begin + length] = rng.bytes(length)
    file.write_bytes(data)


def cut(file, rng):
    data = file.read_bytes()
    file.write_bytes(data[: rng.integers(len(data) + 1)])


def insert(file, rng):
    data = file.read_bytes()
    place = int(rng.integers(len(data) + 1))
    more = rng.bytes(int(rng.integers(1, 9))) if rng.random() < 0.5 else data[place : place + 99]
    file.write_bytes(data[:place] + more + data[place:])


def digit(file, rng):
    """One digit of a text becomes another."""
    data = bytearray(file.read_bytes())
    places = [i for i, byte in enumerate(data[:4000]) if 48 <= byte < 58]
    if places:
        data[rng.choice(places)] = 48 + int(rng.integers(10))
    file.write_bytes(data)


def text(file, rng):
    whole = ["", "null", "[]", "{}", "[" * 5000, '{"a":' * 5000, "NaN", "\ufeff{}", "5", "x = 1\n"]
    file.write_text(str(rng.choice(whole)))


def pickled(file, rng):
    file.write_bytes(pickle.dumps(Trap(), int(rng.integers(6))))


def special(file, rng):
    file.unlink()
    makers = [
        os.mkfifo, os.mkdir,
        lambda path: os.symlink("/dev/zero", path), lambda path: os.symlink(path.name, path),
        lambda path: os.symlink("/etc/hostname", path), lambda path: os.symlink("nowhere", path),
        lambda path: None,
    ]  # fmt: skip
    makers[int(rng.integers(len(makers)))](file)


def retype(value, rng):
    """A JSON value with one place of it changed."""
    value = copy.deepcopy(value)
    places = []

    def walk(node):
        keys = (
            node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        )
        for key in keys:
            places.append((node, key))
            walk(node[key])

    walk(value)
    if not places:
        return value
    node, key = places[int(rng.integers(len(places)))]
    kind = rng.random()
    if kind < 0.1:
        del node[key]
    elif kind < 0.15 and isinstance(node, dict):
        node["x"] = node.pop(key)
    elif kind < 0.2:
        deep = []
        for _ in range(900):
            deep = [deep]
        node[key] = deep
    else:
        node[key] = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
    return value


def retyped(file, rng):
    """Returns whether the sums are gone or true, so that what is said now is believed."""
    if file.suffix == ".jsonl":
        lines = file.read_text().splitlines()
        i = int(rng.integers(len(lines)))
        lines[i] = json.dumps(retype([json.loads(lines[i])], rng)[:1])[1:-1]
        file.write_text("\n".join(lines) + "\n")
        return False
    file.write_text(json.dumps(retype(json.loads(file.read_bytes()), rng)))
    if rng.random() < 0.25:
        return False
    resealed(file)
    return True


def resealed(file):
    """Make the sums true again, or leave them out, as who writes such a file could."""
    folder = file.parent
    if (folder / "manifest.json").exists():
        manifest = json.loads((folder / "manifest.json").read_bytes())
        if not isinstance(manifest, dict):
            return
        files = manifest.get("files")
        if file.name in (files if isinstance(files, dict) else {}):
            data = file.read_bytes()
            files[file.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        manifest.pop("sha256", None)
        manifest["sha256"] = json_sha256(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return
    near = [file, folder / INDEX, folder.parent / INDEX]
    index = next((path for path in near if path.name == INDEX and path.exists()), file)
    content = json.loads(index.read_bytes())
    if isinstance(content, dict):
        content.pop("sha256", None)
        index.write_text(json.dumps(content))


RAW = [flip, flip, flip, overwrite, cut, insert, digit, digit, text, pickled, special]


def damage(files, rng):
    """Damage one of `files`; returns its name and whether what it says now is to be believed."""
    file = files[int(rng.integers(len(files)))]
    how = RAW[int(rng.integers(len(RAW)))]
    if file.suffix in (".json", ".jsonl") and rng.random() < 0.6:
        how = retyped
    return f"{how.__name__} {file.name}", bool(how(file, rng))
