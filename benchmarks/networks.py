"""What the networks cost: parameters, multiply-adds, milliseconds; and what their parts cost.

    python benchmarks/networks.py                  every network, fp32 and bf16, 1 and 2 threads
    python benchmarks/networks.py --parts          convolution, normalisation, attention, layouts
    python benchmarks/networks.py --only digits --threads 2 --repeat 15

One round measures every case once, so that a busy moment of a shared machine hits all of them;
the tables hold medians over rounds. CPU ms is the processor time of all threads together, which
other programs disturb less than the clock on the wall.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from demist.networks import UNet
from demist.networks.layers import attend

BF16 = torch.bfloat16

NETWORKS = {  # name: (side, channels of the image, batch, options)
    "digits tiny": (28, 1, 128, {"channels": [32, 64], "patch": 2, "num_classes": 10}),
    "digits even": (28, 1, 128, {"channels": [64, 64], "patch": 2, "num_classes": 10}),
    "digits": (28, 1, 128, {"channels": [64, 128], "patch": 2, "num_classes": 10}),
    "digits, patch 4": (28, 1, 128, {"channels": [128], "patch": 4, "num_classes": 10}),
    "digits, no patch": (28, 1, 128, {"channels": [32, 64, 128], "num_classes": 10}),
    "32 grey": (32, 1, 128, {"channels": [64, 128], "patch": 2}),
    "32 RGB": (32, 3, 128, {"channels": [64, 128, 128], "patch": 2, "attention": [2]}),
    "64 RGB": (64, 3, 32, {"channels": [64, 128, 192], "patch": 2, "attention": [2]}),
    "64 RGB, patch 4": (64, 3, 32, {"channels": [96, 192], "patch": 4, "blocks": 2}),
}


class Case(NamedTuple):
    """Something to time: `work` is called once per round."""

    label: tuple[object, ...]
    work: Callable[[], None]


class Timing(NamedTuple):
    """Medians over rounds, in milliseconds."""

    wall: float
    cpu: float


def measure(cases: list[Case], rounds: int) -> list[Timing]:
    """Time all cases round by round, after one round to warm up."""
    times: list[list[tuple[float, float]]] = [[] for _ in cases]
    for turn in range(rounds + 1):
        for case, seen in zip(cases, times, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            case.work()
            seen.append((time.perf_counter() - wall, time.process_time() - cpu))
            if turn == 0:
                seen.clear()
    return [Timing(*(1e3 * median(column) for column in zip(*seen, strict=True))) for seen in times]


def table(head: list[str], rows: list[list[object]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        cells = [f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row]
        print("| " + " | ".join(cells) + " |", flush=True)


def forward_and_backward(work: Callable[[], Tensor], leaves: list[Tensor]) -> None:
    """One call and its gradients with respect to the leaves, which are then forgotten."""
    y = work()
    torch.autograd.grad(y, leaves, torch.ones_like(y), allow_unused=True)


def networks(names: list[str], rounds: int) -> None:
    """Forward, and forward with backward, of whole networks."""
    cases: list[Case] = []
    rows: list[list[object]] = []
    for name in names:
        side, channels, batch, options = NETWORKS[name]
        net = UNet(in_channels=channels, **options)
        parameters = list(net.parameters())
        with torch.no_grad():  # zeros would be multiplied faster on some machines
            for p in parameters:
                p.add_(0.01 * torch.randn_like(p))
        x, t = torch.randn(batch, channels, side, side), torch.rand(batch)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(x[:1], t[:1])
        macs = counter.get_total_flops() / 2
        for bf16 in (False, True):

            def forward(net=net, x=x, t=t, bf16=bf16) -> Tensor:
                with torch.autocast("cpu", BF16, enabled=bf16):
                    return net(x, t)

            def silent(forward=forward) -> None:
                with torch.no_grad():
                    forward()

            def both(forward=forward, parameters=parameters) -> None:
                forward_and_backward(forward, parameters)

            cases += [Case((name, bf16, "forward"), silent), Case((name, bf16, "both"), both)]
            count = f"{sum(p.numel() for p in parameters) / 1e6:.2f}"
            rows.append([name, batch, count, macs / 1e6, "bf16" if bf16 else "fp32", batch * macs])
    timings = measure(cases, rounds)
    for row, fwd, both in zip(rows, timings[::2], timings[1::2], strict=True):
        work = row.pop()
        row += [fwd.wall, both.wall, both.cpu, round(6 * work / both.cpu / 1e6)]
    costs = ["forward ms", "forward + backward ms", "CPU ms", "GFLOP/s per CPU-second"]
    table(["network", "batch", "M params", "M MACs/image", "precision", *costs], rows)


def parts(rounds: int) -> None:
    """The layers a U-Net is made of, 128 images, in both layouts and precisions."""
    cases: list[Case] = []

    def add(name: str, layer: Callable[..., Tensor], *inputs: Tensor) -> None:
        leaves = [z.requires_grad_() for z in inputs]
        wanted = [*leaves, *(layer.parameters() if isinstance(layer, nn.Module) else [])]
        cases.append(Case((name,), lambda: forward_and_backward(lambda: layer(*leaves), wanted)))

    for dtype in (torch.float32, BF16):
        kind = str(dtype)[6:]
        for layout in (torch.contiguous_format, torch.channels_last):
            place = f"{kind}, {'channels last' if layout == torch.channels_last else 'contiguous'}"

            def images(c: int, side: int, dtype=dtype, layout=layout) -> Tensor:
                return torch.randn(128, c, side, side, dtype=dtype).to(memory_format=layout)

            add(f"SiLU 128@14, {place}", F.silu, images(128, 14))
            add(f"3x3 convolution 128@14, {place}", conv(128, dtype), images(128, 14))
            for groups in (32, 16, 8, 4):
                norm = nn.GroupNorm(groups, 128).to(dtype)
                size = 128 // groups
                add(f"group norm 128@14, groups of {size}, {place}", norm, images(128, 14))
            double = nn.Upsample(scale_factor=2.0, mode="nearest")
            add(f"nearest doubling 128@7, {place}", double, images(128, 7))
        for n in (49, 196):
            for d in (32, 64, 128):
                qkv = [torch.randn(128, 128 // d, n, d, dtype=dtype) for _ in range(3)]
                add(f"attend {n} tokens, heads of {d}, {kind}", attend, *qkv)
                fused = F.scaled_dot_product_attention
                add(f"torch's attention {n} tokens, heads of {d}, {kind}", fused, *qkv)
    timings = measure(cases, rounds)
    rows: list[list[object]] = [
        [case.label[0], timing.wall, timing.cpu]
        for case, timing in zip(cases, timings, strict=True)
    ]
    table(["part (forward + backward)", "ms", "CPU ms"], rows)


def conv(channels: int, dtype: torch.dtype) -> nn.Conv2d:
    """The convolution all blocks are made of."""
    return nn.Conv2d(channels, channels, 3, padding=1).to(dtype)


def main() -> None:
    """Parse the flags and print the tables."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    flags.add_argument("--repeat", type=int, default=7, help="rounds the medians are taken over")
    flags.add_argument("--only", help="networks whose name holds this text")
    flags.add_argument("--parts", action="store_true", help="time layers instead of networks")
    chosen = flags.parse_args()
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"torch {torch.__version__}, {platform.machine()}, load {load}\n")
    for threads in chosen.threads:
        torch.set_num_threads(threads)
        print(f"### {threads} thread{'s' if threads > 1 else ''}\n")
        if chosen.parts:
            parts(chosen.repeat)
        else:
            networks([n for n in NETWORKS if (chosen.only or "") in n], chosen.repeat)
        print()


if __name__ == "__main__":
    main()
