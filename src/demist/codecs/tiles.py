"""Images coded in overlapping tiles, which takes the memory of one tile."""

from collections.abc import Callable

import torch
from torch import Tensor

Call = Callable[[Tensor], tuple[Tensor, ...]]


def in_tiles(
    call: Call, x: Tensor, tile: int, overlap: int, down: int, up: int
) -> tuple[Tensor, ...]:
    """`call(x)`, made of tiles that are blended where they overlap.

    All tiles have the full size: the last in a row or column moves back into the image, so that
    none sees less around it than the others.

    Args:
        call: Gives tensors whose sides are those of its argument, divided by `down` and multiplied
            by `up`.
        x: Images or latents, `(b, c, h, w)`.
        tile: Side of a tile, in units of `down` pixels of x.
        overlap: What neighbours share at least, in the same units; below `tile`.
        down: See `call`.
        up: See `call`.
    """
    height, width = x.shape[2] // down, x.shape[3] // down
    if max(height, width) <= tile:
        return call(x)
    sides = min(tile, height), min(tile, width)
    sums: list[Tensor] = []
    weights = x.new_zeros(height * up, width * up, dtype=torch.float32)
    fade = _window([side * up for side in sides], overlap * up).to(x.device)
    for top in _starts(height, tile, overlap):
        for left in _starts(width, tile, overlap):
            rows, columns = _slices((top, left), sides, down)
            parts = call(x[:, :, rows, columns])
            rows, columns = _slices((top, left), sides, up)
            if not sums:
                whole = (height * up, width * up)
                sums = [
                    part.new_zeros(*part.shape[:2], *whole, dtype=torch.float32) for part in parts
                ]
            weights[rows, columns] += fade
            for total, part in zip(sums, parts, strict=True):
                total[:, :, rows, columns] += part * fade
    return tuple(total / weights for total in sums)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one side."""
    last = max(0, length - tile)
    return [*range(0, last, tile - overlap), last]


def _slices(at: tuple[int, int], sides: tuple[int, int], unit: int) -> tuple[slice, slice]:
    top, left = (slice(a * unit, (a + side) * unit) for a, side in zip(at, sides, strict=True))
    return top, left


def _window(sides: list[int], overlap: int) -> Tensor:
    """Weights of a tile's pixels: 1 inside, falling towards its edges and never 0."""
    edges = []
    for side in sides:
        from_edge = torch.arange(side) + 0.5
        from_edge = torch.minimum(from_edge, from_edge.flip(0))
        edges.append((from_edge / max(overlap, 1)).clamp(max=1))
    return edges[0][:, None] * edges[1]
