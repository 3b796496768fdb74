"""Checks of chapter 11."""

import numpy as np

from demist.course import expect


def hold_out(answer):
    sizes = [40, 7, 200]
    ordered = np.repeat(np.arange(3), sizes)
    labels = np.random.default_rng(3).permutation(ordered)
    held = answer(labels, 0.1, 0)
    expect(held is not None, "your function gives back nothing; does it end with `return`?")
    held = np.asarray(held)
    expect(
        held.shape == labels.shape and held.dtype == bool,
        f"{len(labels)} booleans are asked for, one for each picture; yours has the type "
        f"{held.dtype} and the shape {held.shape}",
    )
    counts = [int(held[labels == one].sum()) for one in range(3)]
    right = [round(size * 0.1) for size in sizes]
    expect(
        sum(counts) == sum(right) or counts == right,
        f"a tenth of classes of {sizes} is {right}; yours holds out {counts}",
    )
    expect(
        counts == right,
        f"right in all, but not class by class: of classes of {sizes} you hold out {counts}; a rare "
        "class may be missing on one side",
    )
    expect(
        (np.asarray(answer(labels, 0.1, 0)) == held).all(),
        "the same seed must give the same choice; yours changes from call to call",
    )
    expect(
        not (np.asarray(answer(labels, 0.1, 1)) == held).all(),
        "another seed must give another choice; does your function use it?",
    )
    whole = np.asarray(answer(ordered, 0.5, 4))
    first = whole[:40]
    expect(
        0 < first[:20].sum() < 20,
        "you take the first (or last) of each class; files are often sorted, so draw by chance",
    )
    expect(not np.asarray(answer(labels, 0.0, 0)).any(), "of a share of 0 nothing is held out")
